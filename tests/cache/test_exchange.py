import errno
import json
import os
import random
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache import exchange
from cache.build import Build, building
from cache.errors import StoreError
from cache.exchange import export_hdf5, load_hdf5
from cache.fingerprint import Fingerprint
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


def reseal(h5_path: Path) -> None:
    """What a program would have to do that edits an exported file on purpose."""
    with h5_path.open("r+b") as file:
        seal = exchange._seal(file)
        file.seek(0)
        file.write(seal)


def test_every_flipped_byte_is_found_before_hdf5_reads_it(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    h5_path = tmp_path / "a.h5"
    export_hdf5(store, h5_path)
    whole, before = h5_path.read_bytes(), tree(store)
    monkeypatch.setattr(h5py, "File", None)
    for place in random.Random(3).sample(range(len(whole)), 400):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        h5_path.write_bytes(flipped)
        with pytest.raises(StoreError, match=r"a\.h5: (damaged|not a readable HDF5 file)"):
            load_hdf5(h5_path, store)
    assert tree(store) == before
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr", "a.h5"}


@pytest.mark.parametrize("name", ["texts/local", "entities/image"])
def test_rows_that_are_not_those_of_the_ledger_are_refused(tmp_path: Path, store: Path, name: str):
    export_hdf5(store, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file[name][0] = file[name][0] + 1
    reseal(tmp_path / "a.h5")
    before = tree(store)
    with pytest.raises(StoreError, match="rows differ from their checksums"):
        load_hdf5(tmp_path / "a.h5", store)
    assert tree(store) == before
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr", "a.h5"}


def with_index(h5_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write the block's second part anew, and the seal."""
    with h5_path.open("r+b") as file:
        file.seek(exchange.BLOCK)
        line = file.readline()
        said = json.loads(line)
        change(said)
        file.seek(exchange.BLOCK)
        file.write(json.dumps(said).encode().ljust(len(line) - 1) + b"\n")
    reseal(h5_path)


@pytest.mark.parametrize("place", [None, -1, 2**40, "7", 1.5, True, [3]])
def test_an_array_that_lies_nowhere_in_the_file_is_refused(tmp_path: Path, store: Path, place: Any):
    export_hdf5(store, tmp_path / "a.h5")
    with_index(tmp_path / "a.h5", lambda said: said["places"].update({"texts/local": place}))
    with pytest.raises(StoreError, match="texts/local is damaged or missing"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")


def test_an_array_that_lies_elsewhere_is_another(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")
    with_index(tmp_path / "a.h5", lambda said: said["places"].update({"texts/local": 0}))
    with pytest.raises(StoreError, match="rows differ from their checksums"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")


@pytest.mark.parametrize("kind", ["soft link", "external link", "virtual", "group", "huge"])
def test_what_hdf5_says_of_an_array_leads_nowhere(
    tmp_path: Path, store: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    """Its library follows links, and allocates what a file asks for: it is not asked."""
    export_hdf5(store, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["texts/local"]
        if kind == "soft link":
            file["texts/local"] = h5py.SoftLink("/texts/local")
        elif kind == "external link":
            file["texts/local"] = h5py.ExternalLink("/dev/zero", "/texts/global")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((59, 3), np.float16)
            layout[...] = h5py.VirtualSource(".", "texts/global", (59, 3))
            file.create_virtual_dataset("texts/local", layout)
        elif kind == "group":
            file.create_group("texts/local")
        else:
            file.create_dataset("texts/local", (2**40, 3), np.float16, chunks=(1024, 3))
    reseal(tmp_path / "a.h5")
    monkeypatch.setattr(h5py, "File", None)
    with suppress(StoreError):  # where the rows' place is used again, they differ
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
        assert tree(tmp_path / "b.zarr") == tree(store)


def test_what_is_no_exported_store_is_refused(tmp_path: Path, store: Path):
    with pytest.raises(StoreError, match="no such file"):
        load_hdf5(tmp_path / "gone.h5", tmp_path / "b.zarr")
    (tmp_path / "text.h5").write_text("x")
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["a"] = [1]
    os.mkfifo(tmp_path / "fifo.h5")
    for name in ("text.h5", "bare.h5", "fifo.h5"):
        with pytest.raises(StoreError, match="not a readable HDF5 file"):
            load_hdf5(tmp_path / name, tmp_path / "b.zarr")
    export_hdf5(store, tmp_path / "short.h5")
    data = (tmp_path / "short.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="damaged: its CRC-32 or its length"):
        load_hdf5(tmp_path / "short.h5", tmp_path / "b.zarr")
    os.truncate(tmp_path / "short.h5", 2**40)  # told by its length: to read it takes minutes
    with pytest.raises(StoreError, match="damaged: its CRC-32 or its length"):
        load_hdf5(tmp_path / "short.h5", tmp_path / "b.zarr")
    for index, said in {
        "": "no exported feature store",
        "[" * 99_999: "no exported feature store",
        "[]": "without the attribute 'melov'",
        '{"store": {"attributes": {}}}': "without the attribute 'melov'",
        '{"store": {"attributes": {"melov": {"layout": 3}}}}': "layout version 3, expected 2",
    }.items():
        with h5py.File(tmp_path / "other.h5", "w", userblock_size=2**17):
            pass
        with (tmp_path / "other.h5").open("r+b") as raw:
            raw.seek(exchange.BLOCK)
            raw.write(index.encode() + b"\n")
        reseal(tmp_path / "other.h5")
        with pytest.raises(StoreError, match=said):
            load_hdf5(tmp_path / "other.h5", tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_a_file_that_another_process_writes_to_is_not_read(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")
    with (
        h5py.File(tmp_path / "a.h5", "r+"),
        pytest.raises(StoreError, match="in use by another process"),
    ):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")


def test_a_folder_is_no_file_to_write(tmp_path: Path, store: Path):
    (tmp_path / "dir.h5").mkdir()
    with pytest.raises(StoreError, match=r"dir\.h5: a folder, expected a file"):
        export_hdf5(store, tmp_path / "dir.h5")


def test_nothing_is_written_for_a_store_that_is_not_accepted(tmp_path: Path, store: Path):
    export_hdf5(store, tmp_path / "a.h5")

    def accept(fingerprint: Fingerprint) -> None:
        assert fingerprint == FINGERPRINT
        raise StoreError("of other records")

    with pytest.raises(StoreError, match="of other records"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr", accept=accept)
    assert {path.name for path in tmp_path.iterdir()} == {"features.zarr", "a.h5"}


def test_a_damaged_store_is_not_exported_and_an_older_file_stays(tmp_path: Path, store: Path):
    (tmp_path / "a.h5").write_text("older")
    chunk = store / "ids" / "c.3"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    with pytest.raises(StoreError, match=r"ids/c\.3: damaged"):
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


def test_hdf5_survives_a_write_that_fails_wherever_it_is(tmp_path: Path, store: Path):
    """HDF5's own driver ends the interpreter at most of these points."""
    h5 = tmp_path / "store.h5"
    export_hdf5(store, h5)
    whole = h5.read_bytes()
    for most in (100, 700, 2000, 5000, len(whole) // 2, len(whole) - 1, len(whole)):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            if most == len(whole):
                export_hdf5(store, h5)
            else:
                with pytest.raises(OSError) as raised:
                    export_hdf5(store, h5)
                assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(h5))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert h5.read_bytes() == whole
        assert sorted(tmp_path.glob(".*.tmp")) == []


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
    reseal(tmp_path / "a.h5")
    with pytest.raises(StoreError, match="rows differ"):
        load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["texts/local"][0] = right
    reseal(tmp_path / "a.h5")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr") == tree(store)


def test_units_of_a_few_chunks_give_the_same_bytes(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exchange, "CHUNK_BYTES", 100)
    export_hdf5(store, tmp_path / "a.h5")
    load_hdf5(tmp_path / "a.h5", tmp_path / "b.zarr")
    assert tree(tmp_path / "b.zarr") == tree(store)
