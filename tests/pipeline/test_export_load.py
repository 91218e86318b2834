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
from stages.datasets.store import read_summary
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
    write_sealed(records / "records.json", {"layout": 2, "digest": "another"})
    result = run_load("--dataset", "tiny", "--input", "tiny.h5", "--force")
    assert result.exit_code == 1
    assert "tiny.h5: made from records" in result.output
    assert "holds another" in result.output
    assert tree(store) == before
