import csv
import json

import pyarrow.parquet as pq
import pytest

from stages.ablation.grid import GridRun
from stages.ablation.run import Outcome
from stages.ablation.table import write_tables
from stages.config import GraphConfig, TrainConfig


def outcome(name, seed, mrr):
    run = GridRun(name, "mimic", TrainConfig(), GraphConfig(), {"train.d_z": 3})
    test = {
        "mentions": 9,
        "entities": 5,
        "hits@1": mrr / 2,
        "hits@3": 0.5,
        "hits@5": 1.0,
        "mrr": mrr,
    }
    return Outcome(run, seed, {"test": test, "valid": {"mrr": 0.25}})


def test_a_run_is_the_mean_and_deviation_of_its_seeds(tmp_path):
    text = write_tables(
        tmp_path, [outcome("a", 0, 0.5), outcome("a", 1, 0.7), outcome("b", 0, 1.0)]
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
    write_tables(tmp_path, [outcome("a", 0, 0.5), outcome("a", 3, 0.7)])
    rows = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [(row["seed"], row["mrr"], row["valid_mrr"]) for row in rows] == [
        (0, 0.5, 0.25),
        (3, 0.7, 0.25),
    ]
    assert json.loads(rows[0]["settings"]) == {"train.d_z": 3}


def test_deviations_of_single_seeds_are_numbers_that_are_missing(tmp_path):
    write_tables(tmp_path, [outcome("a", 0, 0.5)])
    assert str(pq.read_schema(tmp_path / "table.parquet").field("mrr_std").type) == "double"
