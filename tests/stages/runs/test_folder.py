import pytest

from cache.errors import MelovError
from cache.sealed import Sealed, write_sealed
from stages.paths import DatasetPaths
from stages.runs.folder import MADE_FROM, RunFolder
from tests.support.resealed import reseal

FILES = {
    "config": "config.json",
    "weights": "model.safetensors",
    "history": "history.csv",
    "curves": "history.png",
    "timings": "timings.json",
    "metrics": "metrics.json",
    "ranks": "ranks.npz",
    "probabilities": "probabilities.npz",
    "predictions": "predictions.csv",
}
METRICS = {"test": {"mrr": 0.5}}


@pytest.fixture
def folder(tmp_path):
    """A folder with every file of a run."""
    made = RunFolder(tmp_path / "runs/tiny/melov-s3", "train it")
    made.path.mkdir(parents=True)
    for name, file in FILES.items():
        getattr(made, name).write_text(file)
    write_sealed(made.config, {"d_z": 4}, [made.weights, made.history, made.curves])
    write_sealed(made.metrics, measured(made), [made.ranks, made.probabilities, made.predictions])
    return made


def measured(folder):
    """The content of `metrics.json` for the weights that are there."""
    return {**METRICS, MADE_FROM: {"run": Sealed.read(folder.config).seal}}


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


EVALUATED = ["ranks", "probabilities", "predictions", "metrics"]
WHOLE = ["weights", "history", "curves", "config", *EVALUATED]


@pytest.mark.parametrize("changed", WHOLE)
def test_a_run_with_a_changed_file_is_not_whole(folder, changed):
    assert folder.finished_metrics() == measured(folder)
    path = getattr(folder, changed)
    path.write_bytes(path.read_bytes().replace(b"s", b"S"))
    assert folder.finished_metrics() is None
    path.unlink()
    assert folder.finished_metrics() is None


def test_metrics_of_other_weights_are_refused_and_forgotten(folder):
    folder.forget_results()
    assert folder.finished_metrics() == measured(folder)
    folder.weights.write_text("trained again")
    reseal(folder.config)
    with pytest.raises(MelovError, match=r"metrics\.json: of other weights") as caught:
        folder.read_metrics()
    assert caught.value.hint == f"run {folder.evaluation}"
    assert folder.finished_metrics() is None
    for _ in range(2):
        folder.forget_results()
        left = {path.name for path in folder.path.iterdir()}
        assert left == set(FILES.values()) - {FILES[name] for name in EVALUATED}


@pytest.mark.parametrize("content", [b"", b'{"test": ', b"\xff"])
def test_metrics_that_cannot_be_read_are_none(folder, content):
    folder.metrics.write_bytes(content)
    assert folder.finished_metrics() is None


def test_a_copy_has_the_others_files_and_its_own_metrics(folder, tmp_path):
    copy = RunFolder(tmp_path / "copy", "")
    copy.path.mkdir()
    copy.ranks.write_text("of an earlier run")
    copy.copy_from(folder, {**measured(folder), "run": "copy"})
    for name in ("weights", "config", "history", "ranks", "probabilities", "predictions"):
        assert getattr(copy, name).read_bytes() == getattr(folder, name).read_bytes()
    assert copy.finished_metrics() == {**measured(folder), "run": "copy"}
    assert folder.finished_metrics() == measured(folder)


def test_a_copy_that_breaks_off_is_not_whole(folder, tmp_path):
    copy = RunFolder(tmp_path / "copy", "")
    copy.path.mkdir()
    write_sealed(copy.metrics, {"of": "an earlier run"})
    folder.ranks.unlink()
    with pytest.raises(FileNotFoundError):
        copy.copy_from(folder, METRICS)
    assert copy.finished_metrics() is None
