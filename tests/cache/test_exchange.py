import errno
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache import exchange
from cache.build import Build, building
from cache.errors import StoreError
from cache.exchange import export_hdf5, load_hdf5
from cache.reader import FeatureStore
from tests.support.small_stores import FINGERPRINT, build, contents, tree

ARRAYS = contents()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return build_without_a_trace(tmp_path, "features.zarr")


def build_without_a_trace(folder: Path, name: str, **options: int) -> Path:
    target = build(folder / "work", folder / name, **options)
    (folder / "work").rmdir()
    return target


@pytest.mark.parametrize("chunk_rows", [0, 1, 6])
def test_a_store_comes_back_from_hdf5_byte_for_byte(tmp_path: Path, chunk_rows: int):
    store = build_without_a_trace(tmp_path, "a.zarr", chunk_rows=chunk_rows)
    export_hdf5(store, tmp_path / "a.h5")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr") == tree(store)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zarr", "a.h5", "b.zarr"}


def test_the_hdf5_file_holds_the_same_groups_and_arrays(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        for name, array in ARRAYS.items():
            assert file[name].dtype == array.dtype
            np.testing.assert_array_equal(file[name][...], array)


def test_attributes_larger_than_a_header_survive(tmp_path: Path):
    attributes = {"failed": [f"picture-{i}.jpg" for i in range(20_000)]}
    with building(tmp_path / "a.zarr", tmp_path / "work", "w", FINGERPRINT, []) as one:
        one.finish([], attributes)
    export_hdf5(tmp_path / "a.zarr", tmp_path / "a.h5")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert FeatureStore.open(tmp_path / "b.zarr").attributes == attributes
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def test_progress_goes_up_to_the_number_of_bytes(tmp_path: Path, store: Path):
    total = sum(array.nbytes for array in ARRAYS.values())
    out: list[tuple[int, int]] = []
    back: list[tuple[int, int]] = []
    export_hdf5(store, tmp_path / "a.h5", lambda *state: out.append(state))
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr", lambda *state: back.append(state))
    assert out == sorted(out)
    assert back == sorted(back)
    assert out[-1] == back[-1] == (total, total)


@pytest.mark.parametrize("name", ["texts/local", "entities/image"])
def test_a_damaged_hdf5_file_is_refused_and_the_array_is_named(
    tmp_path: Path, store: Path, name: str
):
    h5_path = tmp_path / "a.h5"
    export_hdf5(store, h5_path)
    with h5py.File(h5_path, "r") as file:
        place = file[name].id.get_offset()
    data = bytearray(h5_path.read_bytes())
    data[place + 7] ^= 1
    h5_path.write_bytes(data)
    before = tree(store)
    with pytest.raises(StoreError, match=f"{name} is damaged"):
        load_hdf5(h5_path, store)
    assert tree(store) == before
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr", "a.h5"}


def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["texts/local"]
    with pytest.raises(StoreError, match="texts/local is damaged"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")


def test_what_is_no_exported_store_is_refused(tmp_path: Path, store: Path):
    with pytest.raises(StoreError, match="no such file"):
        load_hdf5(tmp_path / "gone.h5", tmp_path / "b.zarr")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(StoreError, match="not a readable HDF5 file"):
        load_hdf5(tmp_path / "text.h5", tmp_path / "b.zarr")
    export_hdf5(store, tmp_path / "short.h5")
    data = (tmp_path / "short.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="not a readable HDF5 file"):
        load_hdf5(tmp_path / "short.h5", tmp_path / "b.zarr")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = [1]
    with pytest.raises(StoreError, match="no exported feature store"):
        load_hdf5(tmp_path / "other.h5", tmp_path / "b.zarr")
    with h5py.File(tmp_path / "newer.h5", "w") as file:
        file.attrs["melov"] = '{"layout": 2}'
    with pytest.raises(StoreError, match="layout version 2, expected 1"):
        load_hdf5(tmp_path / "newer.h5", tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_a_damaged_store_is_not_exported_and_an_older_file_stays(tmp_path: Path, store: Path):
    (tmp_path / "a.h5").write_text("older")
    chunk = store / "ids" / "c.3"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    with pytest.raises(StoreError, match="ids is damaged"):
        export_hdf5(store, tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr", "a.h5"}


def test_a_disk_that_fills_up_during_the_export_is_told(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    with pytest.raises(StoreError, match="disk full"):
        export_hdf5(store, tmp_path / "a.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr"}


def test_an_interrupted_load_resumes(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch):
    export_hdf5(store, tmp_path / "a.h5")
    real, written = Build.write, []

    def write(self: Build, unit: str, *rest: Any) -> None:
        real(self, unit, *rest)
        written.append(unit)
        if len(written) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Build, "write", write)
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "discard", lambda *_: None)  # killed before it
        with pytest.raises(KeyboardInterrupt):
            load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert len(written) == len(set(written))
    assert tree(tmp_path / "b.zarr") == tree(store)


def test_a_file_that_was_mended_loads_after_the_damaged_one(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        right = file["texts/local"][0]
        file["texts/local"][0] = right + 1
    with pytest.raises(StoreError, match="texts/local is damaged"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["texts/local"][0] = right
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr") == tree(store)


def test_units_of_a_few_chunks_give_the_same_bytes(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exchange, "CHUNK_BYTES", 100)
    export_hdf5(store, tmp_path / "a.h5")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr") == tree(store)
