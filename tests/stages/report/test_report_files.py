"""Files of runs under right checksums whose numbers no run can have."""

import json

import numpy as np
import pytest

from cache.errors import MelovError
from cache.sealed import Sealed
from stages.config import ReportConfig
from stages.datasets.records import read_digest
from stages.report.grids import load_grids
from stages.report.load_results import load_results
from stages.report.overall import require_whole
from stages.report.report import write_report
from stages.runs.folder import MADE_FROM
from tests.support import made_runs
from tests.support.resealed import reseal


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    paths = made_runs.make_project(root)
    return paths, made_runs.make_records(root / "again", "tiny")


def read(made):
    return load_results(made[0], ("melov", "mimic"), (0,), made[1])


def reseal_run(run) -> None:
    """The metrics are of the run's config.json as it is now."""
    reseal(run / "config.json")
    seal = Sealed.read(run / "config.json").seal
    reseal(
        run / "metrics.json",
        lambda content: {**content, MADE_FROM: {**content[MADE_FROM], "run": seal}},
    )


def test_dvc_gets_what_the_table_says_of_each_variant(made):
    paths = made[0]
    text = write_report(paths, ("melov", "mimic"), (0, 1), ReportConfig())
    rows = [line.split() for line in text.splitlines()]
    columns = next(row for row in rows if row[:1] == ["variant"])
    require_whole(paths.overall)
    figures = json.loads(paths.overall.read_text())["tiny"]
    assert list(figures) == ["melov", "mimic"]
    for variant, found in figures.items():
        row = next(row for row in rows if row[:1] == [variant])
        means = [word for at, word in enumerate(row) if word != "±" and row[at - 1] != "±"]
        shown = dict(zip(columns, means, strict=True))
        assert list(found) == ["H@1", "MRR"]
        assert {title: f"{value:.2f}" for title, value in found.items()}.items() <= shown.items()


HISTORIES = {
    "no text": b"\xff\xfe",
    "nothing": b"",
    "no number": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n1,x,1,1,0.5,0.5\n",
    "not finite": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n1,nan,1,1,0.5,0.5\n",
    "a column less": b"epoch,loss,loss_e,loss_g,valid_mrr\n1,1,1,1,0.5\n",
    "a cell less": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n1,1,1,1,0.5\n",
    "another epoch": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n2,1,1,1,0.5,0.5\n",
    "a start alone": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n0,,,,,0.5\n",
    "no loss": b"epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n0,,,,1,1\n1,,1,1,0.5,0.5\n",
}


@pytest.mark.parametrize("how", HISTORIES)
def test_a_course_that_is_none_is_named(made, how):
    run = made[0].run("melov", 0)
    before = (run / "history.csv").read_bytes()
    (run / "history.csv").write_bytes(HISTORIES[how])
    reseal_run(run)
    with pytest.raises(MelovError, match=r"history\.csv: damaged: "):
        read(made)
    (run / "history.csv").write_bytes(before)
    reseal_run(run)
    assert read(made).runs["melov", 0].history


RANKS = {
    "out of range": np.array([1, 1, 2, 4, 1, 11], np.float32),
    "zero": np.array([1, 1, 2, 4, 1, 0], np.float32),
    "not finite": np.array([1, 1, 2, 4, 1, np.nan], np.float32),
    "two columns": np.ones((6, 1), np.float32),
    "integers": np.ones(6, np.int64),
}


@pytest.mark.parametrize("how", RANKS)
def test_ranks_that_are_none_are_named(made, how):
    run = made[0].run("melov", 0)
    before = (run / "ranks.npz").read_bytes()
    np.savez(run / "ranks.npz", test=RANKS[how])
    reseal(run / "metrics.json")
    with pytest.raises(MelovError, match=r"ranks\.npz: damaged: "):
        read(made)
    (run / "ranks.npz").write_bytes(before)
    reseal(run / "metrics.json")


METRICS = {
    "no part": lambda c: {**c, "test": None},
    "no count": lambda c: {**c, "test": {**c["test"], "mentions": "6"}},
    "a text": lambda c: {**c, "test_seen": {**c["test_seen"], "mrr": "high"}},
    "more than all": lambda c: {**c, "test": {**c["test"], "hits@1": 1.5}},
    "a part less": lambda c: {key: value for key, value in c.items() if key != "test_unseen"},
    "a metric less": lambda c: {**c, "test_seen": {"mentions": 1, "entities": 10, "mrr": 1}},
    "made from nothing": lambda c: {**c, MADE_FROM: []},
    "probability nothing": lambda c: {**c, "probability": None},
    "untrained a list": lambda c: {**c, "untrained": []},
    "untrained of no name": lambda c: {**c, "untrained": {"tfid": c}},
    "untrained nothing": lambda c: {**c, "untrained": {"tfidf": None}},
    "untrained a part less": lambda c: {**c, "untrained": {"tfidf": {"test": c["test"]}}},
    "untrained of others": lambda c: {
        **c,
        "untrained": {"tfidf": {**c, "valid": {**c["valid"], "mentions": 7}}},
    },
    "untrained a metric less": lambda c: {
        **c,
        "untrained": {"tfidf": {**c, "test": {"mentions": 6, "entities": 10}}},
    },
}


@pytest.mark.parametrize("how", METRICS)
def test_metrics_that_are_none_are_named(made, how):
    run = made[0].run("mimic", 0)
    before = (run / "metrics.json").read_bytes()
    reseal(run / "metrics.json", METRICS[how])
    with pytest.raises(MelovError, match=r"metrics\.json: "):
        read(made)
    (run / "metrics.json").write_bytes(before)


@pytest.mark.parametrize("how", ["metrics", "rows", "settings", "origin", "nul", "swapped"])
def test_a_damaged_file_of_a_grid_is_named_and_no_grid_is_left_out_for_it(tmp_path, how):
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = made_runs.make_project(tmp_path)
    grid = made_runs.make_grid(tmp_path, "small", {"melov": ("melov", {})})
    file = "runs.parquet"
    if how == "metrics":
        file = "melov-s0/metrics.json"
        (grid / file).write_bytes((grid / file).read_bytes().replace(b"0.", b"1.", 1))
    elif how == "origin":
        file = "tables.json"
        reseal(grid / file, lambda content: {**content, MADE_FROM: 3})
    elif how == "nul":
        reseal(grid / "tables.json", lambda content: {**content, MADE_FROM: {"a\0-s0": {}}})
    elif how == "swapped":
        file = "tables.json"
        (grid / file).write_bytes((grid / "melov-s0" / "metrics.json").read_bytes())
    else:
        table = pq.read_table(grid / file)
        name, value = ("run", "../x") if how == "rows" else ("settings", "[1]")
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, pa.array([value] * len(table))), grid / file)
        reseal(grid / "tables.json")
    with pytest.raises(MelovError, match=file):
        load_grids(paths, read_digest(paths.records))
