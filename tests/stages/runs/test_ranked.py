"""Several processes rank what one ranks, to the bit."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.paths import DatasetPaths
from stages.ranking.best import best_scores, together
from stages.ranking.rank import count_better, rank_all, ranks
from stages.runs import by_processes as module
from stages.runs.by_processes import Asked
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.ranked import best_wanted, gold_wanted
from stages.runs.run import Run
from stages.share import Share
from tests.support.tiny_project import call, own_world, run

PATHS = DatasetPaths("tiny")
FILES = ("metrics.json", "ranks.npz", "probabilities.npz", "predictions.csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("ranked") / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for variant in ("melov", "mimic"):
            run("train", "--variant", variant, "--set", "train.epochs=1")
    return root


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    root = Path(shutil.copytree(trained, tmp_path / "world"))
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("of", [2, 5])
@pytest.mark.parametrize("variant", ["melov", "mimic"])
def test_shares_put_together_are_the_whole(project, variant, of):
    opened = Run.open(RunFolder.of(PATHS, variant, 0), torch.device("cpu"))
    dataset = Dataset.open(PATHS)
    data = opened.data(dataset)
    config = EvaluateConfig(mention_rows=5, entity_rows=4)
    asked = opened.model, data.inputs, data.views
    gold, best = gold_wanted(data), best_wanted(data, dataset.records)
    shares = [Share(number, of) for number in range(of)]
    counted = [count_better(*asked, gold, config, share) for share in reversed(shares)]
    assert sum(0 < part.sum() < sum(counted).sum() for part in counted) >= 2
    for found, want in zip(
        ranks(sum(counted), data.views, gold), rank_all(*asked, gold, config), strict=True
    ):
        np.testing.assert_array_equal(found, want)
    parts = [best_scores(*asked, best, 6, config, share) for share in shares]
    for found, want in zip(
        map(together, zip(*parts, strict=True)), best_scores(*asked, best, 6, config), strict=True
    ):
        np.testing.assert_array_equal(found.scores, want.scores)
        np.testing.assert_array_equal(found.entities, want.entities)
        np.testing.assert_array_equal(found.terms, want.terms)
        assert found.names == want.names


def test_an_evaluation_by_two_processes_writes_the_same_bytes(project):
    folder = project / "runs/tiny/melov-s0"
    run("evaluate", "--variant", "melov")
    one = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).unlink()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 * threads)  # so that each of two has as many as one had
        run("evaluate", "--variant", "melov", "--workers", "2")
    finally:
        torch.set_num_threads(threads)
    assert {name: (folder / name).read_bytes() for name in FILES} == one


def test_a_run_that_was_replaced_meanwhile_is_not_ranked(project):
    opened, dataset = open_both()
    data = opened.data(dataset)
    asked = Asked(PATHS, opened.folder, opened.identity, data.provenance, EvaluateConfig(), 1)
    better, _ = asked.ranked(Share(1, 2))
    assert better.sum() > 0
    run("train", "--variant", "melov", "--seed", "0", "--set", "train.epochs=2")
    with pytest.raises(MelovError, match="replaced while it was ranked"):
        asked.ranked(Share(1, 2))


def open_both() -> tuple[Run, Dataset]:
    return Run.open(RunFolder.of(PATHS, "melov", 0), torch.device("cpu")), Dataset.open(PATHS)


class _Dies(Asked):
    def ranked(self, share):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_error_and_nothing_is_written(project, monkeypatch):
    monkeypatch.setattr(module, "Asked", _Dies)
    failed = call("evaluate", "--variant", "melov", "--workers", "2")
    assert failed.exit_code == 1
    assert "a process that ranked a share has ended" in failed.stderr
    assert not (project / "runs/tiny/melov-s0/metrics.json").exists()
