"""What learns nothing, in the tables of a report."""

import csv
from pathlib import Path

import pytest

from stages.config import ReportConfig
from stages.datasets.records import Records
from stages.paths import DatasetPaths
from stages.report.grids import load_grids
from stages.report.load_results import load_results
from stages.report.report import write_report
from stages.report.sheets import grid_sheet, parts_sheet, results_sheet
from tests.support import made_runs
from tests.support.resealed import reseal


def scaled(content, factor):
    """The parts of a metrics.json with other rates."""
    parts = {p: said for p, said in content.items() if p.split("_")[0] in ("test", "valid")}
    return {
        part: {
            key: min(1.0, value * factor) if key == "mrr" or "@" in key else value
            for key, value in said.items()
        }
        for part, said in parts.items()
    }


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    """Beside melov's runs stands tfidf, with half their rates; mimic's are of an older version."""
    paths = made_runs.make_project(tmp_path)
    for seed in (0, 1):
        at = paths.run("melov", seed) / "metrics.json"
        reseal(at, lambda content: {**content, "untrained": {"tfidf": scaled(content, 0.5)}})
    return paths


def load(paths, *variants):
    return load_results(paths, variants, (0,), Records.load(paths.records))


def test_every_table_has_a_row_of_it_after_the_variants(paths):
    results = load(paths, "melov", "mimic")
    assert results.rows == ("melov", "mimic", "tfidf")
    melov, _, tfidf = results_sheet(results).rows
    assert [cell.text for cell in tfidf][:2] == ["tfidf", "25.00"]
    assert melov[1].text == "50.00"
    assert parts_sheet(results).columns[2:5] == ("melov", "mimic", "tfidf")
    text = write_report(paths, ("melov", "mimic"), (0,), ReportConfig(cases=0))
    assert "\ntfidf    25.00" in text
    assert "tfidf: nothing is trained; beside every run." in text
    assert "warning" not in text
    with (paths.report / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "all"]
    assert [(row["variant"], row["seeds"]) for row in rows] == [
        ("melov", "1"), ("mimic", "1"), ("tfidf", "0"),
    ]  # fmt: skip


def test_who_is_behind_it_on_validation_is_warned_of_in_every_form(paths):
    at = paths.run("melov", 0) / "metrics.json"
    reseal(at, lambda content: {**content, "untrained": {"tfidf": scaled(content, 1.25)}})
    text = write_report(paths, ("melov", "mimic"), (0,), ReportConfig(cases=0))
    said = "tfidf, which learns nothing, is ahead of melov: MRR 93.75 against 75.00 on validation"
    for shown in (
        " ".join(text.split()),
        (paths.report / "table.md").read_text(),
        (paths.report / "report.html").read_text(),
    ):
        assert said in shown
    assert text.count("warning: ") == 2  # mimic's too, on the same mentions
    assert max(map(len, text.splitlines())) <= 100


def test_a_variant_of_its_name_stands_for_it(paths):
    records = Records.load(paths.records)
    made_runs.make_run(paths.root, records, "tfidf", 0, [1, 1, 1, 1, 1, 1])
    assert load(paths, "melov", "tfidf").rows == ("melov", "tfidf")
    assert load(paths, "melov").rows == ("melov", "tfidf")


def test_a_grids_table_has_it_too(paths):
    grid = made_runs.make_grid(paths.root, "small", {"melov": ("melov", {})})
    for run in grid.glob("melov-s*"):
        reseal(
            run / "metrics.json",
            lambda content: {**content, "untrained": {"tfidf": scaled(content, 0.5)}},
        )
    (found,) = load_grids(paths, Records.load(paths.records).digest).finished
    rows = grid_sheet(found).rows
    assert [row[0].text for row in rows] == ["melov", "tfidf"]
    assert found.results.warnings == []
