import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.ablation.evidence import interval, paired_test
from stages.ablation.grid import GridRun
from stages.ablation.run import Outcome
from stages.ablation.table import write_tables
from stages.config import GraphConfig, TrainConfig


def outcome(name, seed, mrr, ranks=None):
    run = GridRun(name, "mimic", TrainConfig(), GraphConfig(), {"train.d_z": 3})
    test = {
        "mentions": 9,
        "entities": 5,
        "hits@1": mrr / 2,
        "hits@3": 0.5,
        "hits@5": 1.0,
        "mrr": mrr,
    }
    ranks = np.full(9, 1 / mrr) if ranks is None else np.array(ranks)
    return Outcome(run, seed, {"test": test, "valid": {"mrr": 0.25}}, ranks)


def test_a_run_is_the_mean_and_deviation_of_its_seeds(tmp_path):
    text = write_tables(
        tmp_path, [outcome("a", 0, 0.5), outcome("a", 1, 0.7), outcome("b", 0, 1.0)], "a"
    )
    a, b = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert (a["run"], a["seeds"], a["mrr_mean"]) == ("a", 2, pytest.approx(0.6))
    assert a["mrr_std"] == pytest.approx(0.2 / 2**0.5)
    assert (b["mrr_mean"], b["mrr_std"]) == (1.0, None)
    assert "60.00 ± 14.14" in text
    assert "100.00 |" in text
    assert (tmp_path / "table.md").read_text() == text
    with (tmp_path / "table.csv").open() as file:
        assert [row["hits@1_mean"] for row in csv.DictReader(file)] == ["0.3", "0.5"]


def test_the_seeds_stay_in_a_table_of_their_own(tmp_path):
    write_tables(tmp_path, [outcome("a", 0, 0.5), outcome("a", 3, 0.7)], "a")
    rows = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [(row["seed"], row["mrr"], row["valid_mrr"]) for row in rows] == [
        (0, 0.5, 0.25),
        (3, 0.7, 0.25),
    ]
    assert json.loads(rows[0]["settings"]) == {"train.d_z": 3}


def test_deviations_of_single_seeds_are_numbers_that_are_missing(tmp_path):
    write_tables(tmp_path, [outcome("a", 0, 0.5)], "a")
    assert str(pq.read_schema(tmp_path / "table.parquet").field("mrr_std").type) == "double"


def test_the_clean_part_stands_beside_the_whole(tmp_path):
    runs = [outcome("a", 0, 0.5), outcome("a", 1, 0.7)]
    for run, mrr in zip(runs, (0.2, 0.3), strict=True):
        run.metrics["test_clean"] = {**run.metrics["test"], "mrr": mrr, "hits@1": mrr / 4}
    beside(runs[0], 0.2, 0.375)
    runs[0].metrics["untrained"]["tfidf"]["test_clean"] = {"mrr": 0.125, "hits@1": 0.0625}
    text = write_tables(tmp_path, runs, "a")
    a, tfidf = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert a["mrr_clean"] == pytest.approx(0.25)
    assert a["hits@1_clean"] == pytest.approx(0.0625)
    assert (tfidf["mrr_clean"], tfidf["hits@1_clean"]) == (0.125, 0.0625)
    heads, _, of_a, of_tfidf = ([c.strip() for c in line.split("|")] for line in text.splitlines())
    assert of_a[heads.index("MRR, clean")] == "25.00"
    assert of_a[heads.index("H@1, clean")] == "6.25"
    assert of_tfidf[heads.index("MRR, clean")] == "12.50"


def test_no_clean_part_has_no_column(tmp_path):
    text = write_tables(tmp_path, [outcome("a", 0, 0.5)], "a")
    assert "clean" not in text
    (row,) = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert row["mrr_clean"] is None


def test_runs_are_tested_by_mention_against_the_reference(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.integers(1, 9, 200)
    better, same = np.maximum(1, base - (rng.random(200) < 0.3)), base
    runs = [
        outcome("r", 0, 0.5, base),
        outcome("better", 0, 0.6, better),
        outcome("same", 0, 0.5, same),
    ]
    text = write_tables(tmp_path, runs, "r")
    r, b, s = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert r["p"] is None
    assert s["p"] == 1.0
    assert b["p"] < 0.01
    assert b["mrr_difference"] == pytest.approx((1 / better - 1 / base).mean())
    assert b["mrr_low"] < (1 / better).mean() < b["mrr_high"]
    assert "MRR - r" in text


def test_an_interval_covers_the_mean_of_the_population_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(60):
        low, high = interval(rng.exponential(size=80))
        covered += low <= 1 <= high
    assert 50 <= covered <= 60


def test_noise_is_seldom_called_a_difference():
    rng = np.random.default_rng(4)
    found = [paired_test(*rng.random((2, 60))) for _ in range(40)]
    assert sum(p < 0.05 for p in found) <= 6
    assert np.mean(found) > 0.3


def beside(made, valid, test):
    """The outcome with a yardstick's figures in its metrics."""
    parts = {"test": {**made.metrics["test"], "mrr": test}, "valid": {"mrr": valid}}
    made.metrics["untrained"] = {"tfidf": parts}
    return made


def test_what_learns_nothing_has_a_row_without_seeds_interval_and_test(tmp_path):
    text = write_tables(tmp_path, [beside(outcome("a", 0, 0.5), 0.2, 0.375)], "a")
    a, tfidf = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert (tfidf["run"], tfidf["variant"], tfidf["seeds"]) == ("tfidf", "tfidf", 0)
    assert (tfidf["mrr_mean"], tfidf["mrr_difference"]) == (0.375, -0.125)
    assert [tfidf[key] for key in ("mrr_std", "mrr_low", "mrr_high", "p")] == [None] * 4
    assert tfidf.keys() == a.keys()
    assert "-12.50" in text.splitlines()[-1]
    assert "Warning" not in text
    assert pq.read_table(tmp_path / "runs.parquet").num_rows == 1


def test_a_run_of_that_name_stands_for_it(tmp_path):
    made = [beside(outcome("a", 0, 0.5), 0.2, 0.375), outcome("tfidf", 0, 0.4)]
    write_tables(tmp_path, made, "a")
    rows = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert [(row["run"], row["seeds"]) for row in rows] == [("a", 1), ("tfidf", 1)]


def test_a_mean_over_seeds_that_is_behind_is_warned_of_beneath_the_table(tmp_path):
    ahead = [beside(outcome("a", seed, 0.5), 0.75, 0.8) for seed in (0, 1)]
    text = write_tables(tmp_path, ahead, "a")
    (line,) = (line for line in text.splitlines() if line.startswith("Warning: "))
    assert "tfidf, which learns nothing, is ahead of a: MRR 75.00 against 25.00" in line
    assert "80.00 against 50.00 on test" in line
