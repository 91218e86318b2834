from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.build import building
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from cache.sealed import write_sealed
from pipeline import export, load
from stages.datasets.records import LAYOUT
from stages.datasets.store import read_summary, recover_store
from stages.paths import DatasetPaths
from tests.support.small_stores import tree


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of the data set `tiny`, in a project's folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("datasets: [tiny]\n")
    rows = np.arange(12, dtype=np.int32).reshape(4, 3)
    target = tmp_path / "data" / "tiny" / "features.zarr"
    specs = [ArraySpec("a/b", rows.shape, "int32")]
    fingerprint = Fingerprint({"encoder": "e"})
    with building(target, tmp_path / "work", "w", fingerprint, specs) as build:
        build.write("all", [("a/b", 0, rows)])
        build.finish(["all"], {})
    return target


def run_export(*arguments: str) -> Result:
    return CliRunner().invoke(export.main, arguments)


def run_load(*arguments: str) -> Result:
    return CliRunner().invoke(load.main, arguments)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_store_goes_to_another_data_set_by_way_of_one_file(store: Path):
    assert run_export("--dataset", "tiny", "--output", "out/tiny.h5").exit_code == 0
    result = run_load("--dataset", "other", "--input", "out/tiny.h5")
    assert result.exit_code == 0, result.output
    assert files(Path("data/other/features.zarr")) == files(store)


def test_a_load_replaces_a_store_only_when_forced(store: Path):
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    (store / "a" / "b" / "c.0.0").write_bytes(bytes(48))
    before = files(store)
    refused = run_load("--dataset", "tiny", "--input", "tiny.h5")
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert files(store) == before
    assert run_load("--dataset", "tiny", "--input", "tiny.h5", "--force").exit_code == 0
    assert files(store) != before


def test_exporting_a_data_set_without_a_store_names_the_command_that_makes_one(store: Path):
    result = run_export("--dataset", "none", "--output", "none.h5")
    assert result.exit_code == 1
    assert "python -m pipeline.extract --dataset none" in result.output
    assert not Path("none.h5").exists()


def test_a_missing_input_is_one_message_and_a_missing_option_is_wrong_usage(store: Path):
    result = run_load("--dataset", "other", "--input", "gone.h5")
    assert result.exit_code == 1
    assert "gone.h5: no such file" in result.output
    assert run_load("--dataset", "other").exit_code == 2
    assert run_export("--dataset", "tiny").exit_code == 2


def test_what_was_said_of_another_store_is_not_taken_for_the_loaded_ones(store: Path):
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    folder = store.parent / "extract"
    folder.mkdir()
    beside = [folder / "failed_pictures.csv", folder / "store.json"]
    for file in beside:
        file.touch()
    write_sealed(folder / "summary.json", {"store": "another"}, beside)
    assert run_load("--dataset", "tiny", "--input", "tiny.h5", "--force").exit_code == 0
    assert read_summary(folder, FeatureStore.open(store), "") is None


def test_a_store_of_other_records_is_refused_before_anything_is_written(store: Path):
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    before = tree(store)
    records = store.parent / "records"
    records.mkdir()
    write_sealed(records / "records.json", {"layout": LAYOUT, "digest": "another"})
    result = run_load("--dataset", "tiny", "--input", "tiny.h5", "--force")
    assert result.exit_code == 1
    assert "tiny.h5: made from records" in result.output
    assert "holds another" in result.output
    assert tree(store) == before


@contextmanager
def ended_before_the_move(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> Iterator[None]:
    """Within, Ctrl-C comes just before a store gets into its place."""
    rename, left = Path.rename, iter(range(times))

    def interrupted(path: Path, to: Path) -> Path:
        if to.name == "features.zarr" and next(left, None) is not None:
            raise KeyboardInterrupt
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        yield


def test_a_load_that_is_interrupted_at_its_end_loses_no_store(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    before = files(store)
    asked = ("--dataset", "tiny", "--input", "tiny.h5", "--force")
    with ended_before_the_move(monkeypatch):
        assert run_load(*asked).exit_code == 130
    assert files(store) == before
    assert run_load(*asked).exit_code == 0
    assert files(store) == before


def test_a_load_that_was_killed_at_its_end_is_finished_by_the_same_command(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    asked = ("--dataset", "other", "--input", "tiny.h5")
    with ended_before_the_move(monkeypatch, times=2):  # again when it puts things right
        assert run_load(*asked).exit_code == 130
    other = Path("data/other/features.zarr")
    assert not other.exists()
    result = run_load(*asked)
    assert result.exit_code == 0, result.output
    assert "loaded already" in result.output
    assert files(other) == files(store)
    assert sorted(path.name for path in other.parent.iterdir()) == [".locks", "features.zarr"]


def test_a_finish_that_was_killed_is_completed_before_a_newer_store_is_made(
    store: Path, monkeypatch: pytest.MonkeyPatch
):
    """Completed later, it would put the older store into the newer one's place."""
    run_export("--dataset", "tiny", "--output", "tiny.h5")
    exported, paths = files(store), DatasetPaths("tiny")
    specs, rows = [ArraySpec("a/b", (1, 3), "int32")], np.zeros((1, 3), np.int32)
    with (
        ended_before_the_move(monkeypatch),
        suppress(KeyboardInterrupt),
        building(store, paths.partial, "w", Fingerprint({"encoder": "f"}), specs) as build,
    ):
        build.write("all", [("a/b", 0, rows)])  # as an extraction does
        build.finish(["all"], {})
    assert not store.exists()
    result = run_load("--dataset", "tiny", "--input", "tiny.h5", "--force")
    assert result.exit_code == 0, result.output
    recover_store(paths)
    assert files(store) == exported
