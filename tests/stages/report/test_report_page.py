import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import made_runs
import pytest

from cache.errors import MelovError
from stages.config import ReportConfig
from stages.report.published import PUBLISHED, VARIANT_OF
from stages.report.report import report_folder, write_report

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
            assert target.startswith(("#", "data:"))
            if target.startswith("#") and target != "#":
                assert target[1:] in ids
    for target in re.findall(r"url\(#([^)]*)\)", text):
        assert target in ids
    assert not re.search(r"https?://|@import|@font-face", text)


def test_everything_has_its_words(text):
    page = Page(text)
    assert page.all("img")
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert page.all("svg")
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(a["scope"] in ("row", "col", "colgroup") for a in page.all("th"))
    sortable = [a for a in page.all("th") if "data-column" in a]
    assert len(sortable) == 5 + 6
    assert {a["aria-sort"] for a in sortable} == {"none"}
    assert len(page.all("button")) == len(sortable)


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


def test_published_figures_stand_beside_ours_on_the_papers_data_sets_alone(tmp_path):
    words = Page(report(tmp_path, "wikimel")).words
    assert "Other conditions" in words
    assert "MELOV w/o τ" in words
    assert "88.91" in words
    for dataset in ("tiny", "demo"):
        text = report(tmp_path, dataset)
        assert 'id="published"' not in text
        assert ("no number here is a claim about WikiMEL" in text) == (dataset == "demo")


def test_published_tables_have_the_same_systems():
    systems = {tuple(figures) for figures in PUBLISHED.values()}
    assert systems == {("CLIP", *VARIANT_OF)}
    for figures in PUBLISHED.values():
        for h1, h3, h5, mrr in figures.values():
            assert h1 < mrr < h3 < h5


def test_the_same_runs_give_the_same_bytes(tmp_path):
    def files(root):
        report(root)
        return {f.name: f.read_bytes() for f in (root / "reports" / "tiny").iterdir()}

    first, second = files(tmp_path / "a"), files(tmp_path / "elsewhere")
    assert sorted(first) == ["report.html", "table.csv", "table.md", "table.txt"]
    assert first == second


@pytest.mark.parametrize(
    ("file", "step"), [("graph/graph.json", "graph"), ("extract/summary.json", "extract")]
)
def test_a_missing_file_of_the_data_names_the_command(tmp_path, file, step):
    paths = made_runs.make_project(tmp_path)
    (paths.folder / file).unlink()
    with pytest.raises(MelovError) as error:
        write_report(paths, VARIANTS, (0,), ReportConfig())
    assert f"python -m pipeline.{step} --dataset tiny" in (error.value.hint or "")
    assert not (tmp_path / "reports").exists()
