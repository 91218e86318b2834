"""A metric costs one entry: here two more, from evaluation to the tables of an ablation."""

import csv
import json

import numpy as np
import pytest

from stages.ranking.metrics import METRICS, Metric
from tests.support.tiny_project import run

HITS2 = Metric(
    "hits@2", "H@2", "among the first 2", lambda ranks: np.asarray(ranks) <= 2, by_part=True
)
MEDIAN = Metric(
    "median", "median rank", "half of the mentions rank at least so high", lambda ranks: ranks,
    reduce=np.median, range=(1.0, np.inf), higher_is_better=False,
)  # fmt: skip
GRID = """\
seeds: [0]
train: {epochs: 1}
reference: mimic
runs: [{name: melov}, {name: mimic}]
"""


def test_one_entry_puts_a_metric_into_every_file_that_has_metrics(project, monkeypatch):
    for metric in (HITS2, MEDIAN):
        monkeypatch.setitem(METRICS, metric.key, metric)
    expected = {}
    for variant in ("melov", "mimic"):
        run("train", "--variant", variant, "--set", "train.epochs=1")
        run("evaluate", "--variant", variant)
        folder = project / f"runs/tiny/{variant}-s0"
        said = json.loads((folder / "metrics.json").read_text())
        beside = {name: of["test"] for name, of in said["untrained"].items()}
        found = said["test"]
        ranks = np.load(folder / "ranks.npz")["test"]
        expected[variant] = found["hits@2"], found["median"]
        assert expected[variant] == pytest.approx((np.mean(ranks <= 2), np.median(ranks)))

    (project / "grid.yaml").write_text(GRID)
    run("ablate", "--grid", "grid.yaml")
    run("report", "--set", "variants=[melov, mimic]")
    reports = project / "reports/tiny"
    with (reports / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "all"]
    shown = expected | {name: (of["hits@2"], of["median"]) for name, of in beside.items()}
    assert [row["variant"] for row in rows] == list(shown)
    for row in rows:
        hits, median = shown[row["variant"]]
        assert (row["H@2"], row["median rank"]) == (f"{100 * hits:.2f}", f"{median:.2f}")
    for name in ("table.txt", "table.md"):
        text = (reports / name).read_text()
        assert text.count("H@2") == 2  # overall and by part
        assert text.count("median rank") == 1
    page = (reports / "report.html").read_text()
    assert "median rank: half of the mentions rank at least so high, lower is better" in page
    assert "Best in bold" in page
    best = min(median for _, median in shown.values())
    assert f"<strong>{best:.2f}</strong>" in page

    table = (project / "ablations/tiny/grid/table.md").read_text()
    assert "H@2" in table
    assert "median rank" in table
    with (project / "ablations/tiny/grid/table.csv").open() as file:
        of_run = {row["run"]: row for row in csv.DictReader(file)}
    for variant, (hits, median) in expected.items():
        row = of_run[variant]
        assert float(row["hits@2_mean"]) == pytest.approx(hits)
        assert float(row["median_mean"]) == pytest.approx(median)
        assert float(row["hits@2_low"]) <= hits <= float(row["hits@2_high"])
        assert "median_low" not in row


def test_the_order_of_metrics_json_is_the_registrys():
    assert list(METRICS) == ["hits@1", "hits@3", "hits@5", "hits@10", "hits@20", "mrr", "mr"]
