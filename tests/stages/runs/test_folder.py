import json

import pytest

from stages.paths import DatasetPaths
from stages.runs.folder import RunFolder, write_json

FILES = {
    "config": "config.json",
    "weights": "model.safetensors",
    "history": "history.csv",
    "curves": "history.png",
    "timings": "timings.json",
    "metrics": "metrics.json",
    "ranks": "ranks.npz",
}
METRICS = {"test": {"mrr": 0.5}}


@pytest.fixture
def folder(tmp_path):
    """A folder with every file of a run."""
    made = RunFolder(tmp_path / "runs/tiny/melov-s3", "train it")
    made.path.mkdir(parents=True)
    for name, file in FILES.items():
        getattr(made, name).write_text(file)
    write_json(made.metrics, METRICS)
    return made


def test_it_lies_where_the_layout_says_and_knows_the_command_that_makes_it(tmp_path):
    folder = RunFolder.of(DatasetPaths("tiny", tmp_path), "no-tau", 3)
    assert folder.path == tmp_path / "runs/tiny/no-tau-s3"
    assert folder.command == ("python -m pipeline.train --dataset tiny --variant no-tau --seed 3")
    assert {name: getattr(folder, name) for name in FILES} == {
        name: folder.path / file for name, file in FILES.items()
    }


def test_unfinished_work_lies_beside_the_run_so_that_a_removed_run_resumes(folder):
    assert folder.path not in folder.work.parents
    other = RunFolder(folder.path.parent / "melov-s4", "")
    assert other.work != folder.work


@pytest.mark.parametrize("changed", ["config", "weights"])
def test_its_identity_is_that_of_the_weights_and_the_configuration(folder, changed):
    before = folder.identity
    for name in FILES.keys() - {"config", "weights"}:
        getattr(folder, name).unlink()
    assert folder.identity == before
    getattr(folder, changed).write_text("other")
    assert folder.identity != before


def test_a_run_whose_results_are_forgotten_is_not_whole(folder):
    assert folder.finished_metrics() == METRICS
    folder.forget_results()
    folder.forget_results()
    assert folder.finished_metrics() is None
    left = {path.name for path in folder.path.iterdir()}
    assert left == set(FILES.values()) - {"metrics.json", "ranks.npz", "config.json"}


@pytest.mark.parametrize("content", [b"", b'{"test": ', b"\xff"])
def test_metrics_that_cannot_be_read_are_none(folder, content):
    folder.metrics.write_bytes(content)
    assert folder.finished_metrics() is None


def test_a_copy_has_the_others_files_and_its_own_metrics(folder, tmp_path):
    copy = RunFolder(tmp_path / "copy", "")
    copy.path.mkdir()
    copy.ranks.write_text("of an earlier run")
    copy.copy_from(folder, {**METRICS, "run": "copy"})
    for name in ("weights", "config", "history", "ranks"):
        assert getattr(copy, name).read_bytes() == getattr(folder, name).read_bytes()
    assert copy.finished_metrics() == {**METRICS, "run": "copy"}
    assert json.loads(folder.metrics.read_text()) == METRICS
    assert copy.identity == folder.identity


def test_a_copy_that_breaks_off_is_not_whole(folder, tmp_path):
    copy = RunFolder(tmp_path / "copy", "")
    copy.path.mkdir()
    write_json(copy.metrics, {"of": "an earlier run"})
    folder.ranks.unlink()
    with pytest.raises(FileNotFoundError):
        copy.copy_from(folder, METRICS)
    assert copy.finished_metrics() is None
