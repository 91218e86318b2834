import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.errors import MelovError
from cache.sealed import Sealed
from stages.config import ReportConfig
from stages.report.grids import GridReport
from stages.report.published import DATASETS, LATER, NO_NUMBER, PUBLISHED, VARIANT_OF
from stages.report.report import report_folder, write_report
from stages.report.sweeps import find_sweeps
from tests.support import made_runs
from tests.support.resealed import reseal

VOID = {"meta", "link", "img", "br"}
VARIANTS = ("melov", "mimic")


class Page(HTMLParser):
    """Every element with its attributes; unbalanced ones are errors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def report(root: Path, dataset: str = "tiny", seeds=(0, 1), cases: int = 12, **options) -> str:
    paths = made_runs.make_project(root, dataset, **options)
    write_report(paths, VARIANTS, seeds, ReportConfig(cases=cases))
    return (report_folder(paths) / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize(
    "options", [{}, {"kinds": False, "pictures": False}, {"seeds": (0,), "cases": 0}]
)
def test_the_page_is_well_formed_and_stands_alone(tmp_path, options):
    text = report(tmp_path, **options)
    page = Page(text)
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name) or "#"
            if target == "errors.html":
                continue  # it lies beside the report
            assert target.startswith(("#", "data:"))
            if target.startswith("#") and target != "#":
                assert target[1:] in ids
    for target in re.findall(r"url\(#([^)]*)\)", text):
        assert target in ids
    assert not re.search(r"https?://|@import|@font-face", text)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With a grid of variants, a sweep and an unfinished grid."""
    root = tmp_path_factory.mktemp("full")
    paths = made_runs.make_project(root)
    made_runs.make_grid(root, "table2", {"melov": ("melov", {}), "mimic": ("mimic", {})})
    sweep = {f"d_z={d}": ("melov", {"train.d_z": d}) for d in (16, 256)}
    made_runs.make_grid(root, "figure3", {"melov": ("melov", {}), **sweep})
    (root / "ablations" / "tiny" / "half" / "melov-s0").mkdir(parents=True)
    write_report(paths, VARIANTS, (0, 1), ReportConfig())
    return (report_folder(paths) / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["text", "full"])
def test_everything_has_its_words(which, request):
    page = Page(request.getfixturevalue(which))
    assert page.all("img")
    for attributes in page.all("img"):
        assert attributes.get("alt")
        assert (attributes["src"] or "").startswith("data:image/")
    assert page.all("svg")
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    for region in (a for a in page.all("div") if a.get("class") == "scroll"):
        assert region["role"] == "region"
        assert region["tabindex"] == "0"
        assert region["aria-label"]


@pytest.mark.parametrize("which", ["text", "full"])
def test_every_column_of_every_table_sorts(which, request):
    text = request.getfixturevalue(which)
    for table in re.findall(r"<table>.*?</table>", text, flags=re.DOTALL):
        page = Page(table)
        heads = page.all("th")
        assert {a["scope"] for a in heads} <= {"row", "col", "colgroup"}
        columns = [a for a in heads if a["scope"] == "col"]
        assert [a["data-column"] for a in columns] == [str(i) for i in range(len(columns))]
        assert {a["aria-sort"] for a in columns} == {"none"}
        assert len(page.all("button")) == len(columns)
        for row in re.findall(r"<tr[^>]*><th scope=.row.*?</tr>", table, flags=re.DOTALL):
            assert len(re.findall(r"<t[hd]\b", row)) == len(columns)


@pytest.mark.parametrize("which", ["text", "full"])
def test_the_outline_is_one_and_whole(which, request):
    page = Page(request.getfixturevalue(which))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    headings = {a.get("id") for tag, a in page.elements if tag == "h2"}
    assert {a["aria-labelledby"] for a in page.all("section")} == headings
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert any(a.get("name") == "viewport" for a in page.all("meta"))


def test_grids_are_on_the_page_with_intervals_and_sweeps(full):
    words = Page(full).words
    for name in ("table2", "figure3"):
        assert f"Table of the grid {name}" in full
    assert "The grid half is left out: it has not finished (0 runs so far)." in words
    assert "H@1, 95 %" in words
    assert "train.d_z=16" in words
    assert "Sweep of d_z. melov, H@1: 16: " in full
    assert re.search(r"melov, H@1: 16: [^,]*, 64: [^,]*, 256: ", full)  # 64 is the plain run's
    assert "table2 by part of the test mentions" in words
    assert "No grid has been run" not in words


def test_a_grid_of_other_records_is_left_out(tmp_path):
    paths = made_runs.make_project(tmp_path)
    folder = made_runs.make_grid(tmp_path, "old", {"melov": ("melov", {})})
    for config in folder.glob("*/config.json"):
        reseal(config, lambda content: {**content, "provenance": {"records": "others"}})
        metrics = config.with_name("metrics.json")
        run = {"run": Sealed.read(config).seal}
        reseal(metrics, lambda content, run=run: {**content, "made_from": run})
    made_from = {
        f"melov-s{i}": {"run": Sealed.read(folder / f"melov-s{i}/config.json").seal}
        for i in range(3)
    }
    reseal(folder / "tables.json", lambda _: {"made_from": made_from})
    write_report(paths, VARIANTS, (0,), ReportConfig())
    words = Page((report_folder(paths) / "report.html").read_text(encoding="utf-8")).words
    assert "The grid old is left out: it was made from other records" in words


def test_a_grid_with_a_run_that_was_made_again_is_left_out(tmp_path):
    paths = made_runs.make_project(tmp_path)
    folder = made_runs.make_grid(tmp_path, "old", {"melov": ("melov", {})})
    reseal(folder / "melov-s1/config.json", lambda content: {**content, "again": True})
    run = {"run": Sealed.read(folder / "melov-s1/config.json").seal}
    reseal(
        folder / "melov-s1/metrics.json",
        lambda content: {**content, "made_from": {**content["made_from"], **run}},
    )
    write_report(paths, VARIANTS, (0,), ReportConfig())
    words = Page((report_folder(paths) / "report.html").read_text(encoding="utf-8")).words
    assert "The grid old is left out: it has runs that were made again since its tables" in words


def test_metrics_of_another_run_of_a_grid_are_refused(tmp_path):
    paths = made_runs.make_project(tmp_path)
    folder = made_runs.make_grid(tmp_path, "old", {"melov": ("melov", {})})
    for name in ("metrics.json", "ranks.npz"):
        (folder / "melov-s1" / name).write_bytes((folder / "melov-s0" / name).read_bytes())
    with pytest.raises(MelovError, match=r"melov-s1/metrics\.json: of other weights") as caught:
        write_report(paths, VARIANTS, (0,), ReportConfig())
    assert "python -m pipeline.ablate" in caught.value.hint


def test_a_damaged_grid_names_the_file_and_the_command(tmp_path):
    paths = made_runs.make_project(tmp_path)
    folder = made_runs.make_grid(tmp_path, "bad", {"melov": ("melov", {})})
    (folder / "runs.parquet").write_bytes(b"no parquet")
    with pytest.raises(MelovError, match=r"runs\.parquet: damaged") as error:
        write_report(paths, VARIANTS, (0,), ReportConfig())
    assert "--grid FILE of the grid bad" in (error.value.hint or "")


def test_a_sweep_of_the_graph_holds_the_run_with_the_default():
    """Its value stands in no setting of its own, only beneath them."""
    graph = {"bandwidth_fraction": 0.25, "floor": 0.05}
    grid = GridReport(
        "figure3",
        SimpleNamespace(variants=("melov", "b=0.5", "mimic")),
        {"melov": "melov", "b=0.5": "melov", "mimic": "mimic"},
        {"melov": {}, "b=0.5": {"graph.bandwidth_fraction": 0.5}, "mimic": {}},
        {run: {"graph": graph} for run in ("melov", "b=0.5", "mimic")},
    )
    (sweep,) = find_sweeps(grid)
    assert sweep.values == (0.25, 0.5)
    assert sweep.runs == {"melov": {0.25: "melov", 0.5: "b=0.5"}}


def test_both_colour_schemes_reach_the_drawings(text):
    assert "prefers-color-scheme: dark" in text
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--series-1)" in drawings
    assert "currentColor" in drawings
    assert not re.search(r"#[0-9a-f]{6}\b", drawings)
    assert "font-family" not in drawings


def test_numbers_and_cases_are_on_the_page(text):
    words = Page(text).words
    assert "58.33 ± 11.79" in words
    assert "10 entities; 12 mentions (4 train, 2 valid, 6 test); 3 pictures" in words
    assert "melov - mimic, poor pictures: H@1 +33.33" in words
    assert "1 failed" in words
    assert "cannot identify image file" in words
    assert "higher in 3 test mentions, lower in 1, the same in 2" in words
    assert "rank 10" in words
    assert "picture does not decode" in words
    assert "2.25" in words


def test_text_of_the_data_is_escaped(text):
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in text
    assert "<mark>word1</mark> &amp; &lt;more&gt;." in text
    assert len(Page(text).all("script")) == 1


def test_a_sentence_without_its_mention_is_shown_unmarked(tmp_path, monkeypatch):
    ranks = {**made_runs.HAND, ("mimic", 0): [9, 1, 1, 1, 1, 1]}
    monkeypatch.setattr(made_runs, "HAND", ranks)
    text = report(tmp_path)
    assert "<p>Nothing of it.</p>" in text
    assert "The sentence does not hold the mention's words." in text


def test_published_figures_stand_beside_ours_as_other_conditions(tmp_path):
    text = report(tmp_path, "wikimel")
    words = Page(text).words
    assert "Other conditions." in words
    assert "Published: Table 2 of the paper, fine-tuned encoders" in words
    assert "MELOV w/o τ" in words
    assert "88.91" in words
    section = text[text.index('<section aria-labelledby="published"') :]
    assert "<section" not in section[1:]  # it is the last one
    assert "<details><summary>" in section  # and folded
    for dataset in ("tiny", "drawn"):
        text = report(tmp_path, dataset, test_bed=dataset == "drawn")
        assert "published" not in {a.get("id") for a in Page(text).all("h2")}
        assert "88.91" not in text
        assert ("no number here is a claim about WikiMEL" in text) == (dataset == "drawn")


def test_what_a_reader_came_for_stands_first(text):
    order = [a["id"] for a in Page(text).all("h2")]
    assert order[:4] == ["results", "parts", "cases", "errors"]
    links = [a["href"] for a in Page(text).all("a") if (a.get("href") or "").startswith("#")]
    assert [link[1:] for link in links[1:]] == order


def test_a_system_without_a_number_of_ours_says_why(tmp_path):
    words = Page(report(tmp_path, "wikimel")).words
    for why in NO_NUMBER.values():
        assert words.count(why) == 2  # once a table


def test_published_tables_have_the_same_systems():
    assert set(PUBLISHED) == set(DATASETS)
    assert len({tuple(figures) for figures in PUBLISHED.values()}) == 1
    assert set(VARIANT_OF) < set(PUBLISHED["wikimel"])
    assert all(set(later.figures) <= set(DATASETS) for later in LATER.values())
    for figures in PUBLISHED.values():
        for h1, h3, h5, mrr in figures.values():
            assert h1 < mrr < h3 < h5


def test_the_same_runs_give_the_same_bytes(tmp_path):
    def files(root):
        report(root)
        return {f.name: f.read_bytes() for f in (root / "reports" / "tiny").iterdir()}

    first, second = files(tmp_path / "a"), files(tmp_path / "elsewhere")
    assert sorted(first) == [
        "errors.html",
        "report.html",
        "report.json",
        "table.csv",
        "table.md",
        "table.txt",
    ]
    assert first == second


@pytest.mark.parametrize("step", ["graph", "extract"])
def test_a_missing_part_of_the_data_costs_its_section_alone(tmp_path, step):
    paths = made_runs.make_project(tmp_path)
    shutil.rmtree(paths.path / step)
    write_report(paths, VARIANTS, (0,), ReportConfig())
    words = Page((report_folder(paths) / "report.html").read_text(encoding="utf-8")).words
    assert f"python -m pipeline.{step} --dataset tiny" in words


@pytest.mark.parametrize("file", ["graph/graph.json", "graph/train.npz", "extract/summary.json"])
def test_a_damaged_file_of_the_data_is_named(tmp_path, file):
    paths = made_runs.make_project(tmp_path)
    (paths.path / file).write_bytes(b"{half")
    with pytest.raises(MelovError, match=Path(file).name):
        write_report(paths, VARIANTS, (0,), ReportConfig())
    (paths.path / file).unlink()
    with pytest.raises(MelovError, match=Path(file).name):
        write_report(paths, VARIANTS, (0,), ReportConfig())


def test_what_is_missing_is_said(tmp_path):
    paths = made_runs.make_project(tmp_path, kinds=False)
    write_report(paths, ("melov", "no-tau"), (0,), ReportConfig())
    words = Page((report_folder(paths) / "report.html").read_text(encoding="utf-8")).words
    assert "no-tau is left out: it lacks a trained run" in words
    assert "No grid has been run" in words
    assert "No cases: they hold a variant against mimic" in words
    assert "does not tell the kinds" in words
    assert "No fusion weights: there is no feature store" in words
