import errno
import json
import os
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import zarr

from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.writer import StoreWriter
from tests.support.small_stores import (
    ATTRIBUTES,
    FINGERPRINT,
    build,
    contents,
    specs_of,
    tree,
    units_of,
    write_unit,
)

ARRAYS = contents()
UNITS = units_of(ARRAYS)
NAMES = [name for name, _ in UNITS]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a store that was written without a hitch."""
    folder = tmp_path_factory.mktemp("straight")
    return tree(build(folder / "work", folder / "features.zarr"))


def opened(work: Path, chunk_rows: int = 4) -> StoreWriter:
    return StoreWriter.open(work, FINGERPRINT, specs_of(ARRAYS, chunk_rows))


@pytest.mark.parametrize("chunk_rows", [0, 1, 3, 1000])
def test_zarr_reads_what_was_written_without_a_warning(tmp_path: Path, chunk_rows: int):
    target = build(tmp_path / "work", tmp_path / "features.zarr", chunk_rows=chunk_rows, rows=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open(target, mode="r")
        members = dict(group.members(max_depth=None))
    arrays = {name: node for name, node in members.items() if isinstance(node, zarr.Array)}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array[:], ARRAYS[name])


def test_the_ledger_is_in_the_root_attributes(tmp_path: Path):
    target = build(tmp_path / "work", tmp_path / "features.zarr")
    ledger = zarr.open(target, mode="r").attrs["melov"]
    assert ledger["layout"] == 1
    assert ledger["finished"] is True
    assert ledger["fingerprint"] == FINGERPRINT.fields
    assert ledger["attributes"] == ATTRIBUTES
    assert ledger["arrays"].keys() == ARRAYS.keys()
    assert not (tmp_path / "work").exists()


def test_neither_the_order_of_writing_nor_the_units_show_in_the_bytes(
    tmp_path: Path, straight: dict[str, bytes]
):
    writer = opened(tmp_path / "work")
    for unit in reversed(UNITS):
        writer.write(*unit)
    writer.finish(tmp_path / "a", NAMES, dict(reversed(ATTRIBUTES.items())))
    assert tree(tmp_path / "a") == straight
    assert tree(build(tmp_path / "work", tmp_path / "b", rows=11)) == straight


def test_a_store_replaces_an_older_one(tmp_path: Path, straight: dict[str, bytes]):
    older = {"old": np.ones((3, 2), np.int32)}
    target = build(tmp_path / "work", tmp_path / "features.zarr", older)
    build(tmp_path / "work", target)
    assert tree(target) == straight
    assert [path.name for path in tmp_path.iterdir()] == ["features.zarr"]


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_concurrent_writers_give_the_same_bytes(
    tmp_path: Path, straight: dict[str, bytes], workers: str
):
    writer = opened(tmp_path / "work")
    pool = (
        ThreadPoolExecutor(8)
        if workers == "threads"
        # Not by fork: zarr keeps threads.
        else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    )
    with pool:
        list(pool.map(write_unit, [writer] * len(UNITS), UNITS))
    assert all(writer.done(name) for name in NAMES)
    assert writer.note(NAMES[2]) == {"unit": NAMES[2]}
    writer.finish(tmp_path / "features.zarr", NAMES, ATTRIBUTES)
    assert tree(tmp_path / "features.zarr") == straight


def test_a_pickled_writer_sees_what_another_one_wrote_since(tmp_path: Path):
    writer = opened(tmp_path / "work")
    copy = pickle.loads(pickle.dumps(writer))
    writer.write(*UNITS[0], note=[1, None])
    assert copy.done(NAMES[0])
    assert copy.note(NAMES[0]) == [1, None]
    assert not copy.done(NAMES[1])


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path):
    writer = opened(tmp_path / "work")
    before = tree(tmp_path / "work")
    rows = ARRAYS["texts/global"][:3]
    for parts, message in [
        ([("texts/other", 0, rows)], "no array 'texts/other'"),
        ([("texts/global", 0, rows.astype(np.float32))], "takes float16"),
        ([("texts/global", 0, rows[:, :2])], r"shape \(5,\)"),
        ([("texts/global", 35, rows)], "35 to 38 are out of the range"),
        ([("texts/global", 0, rows), ("texts/global", -1, rows)], "-1 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            writer.write("unit", parts)
    with pytest.raises(TypeError, match="JSON"):
        writer.write("unit", [("texts/global", 0, rows)], note=object())
    assert tree(tmp_path / "work") == before
    assert not writer.done("unit")


def test_a_store_with_rows_missing_or_written_twice_is_not_finished(tmp_path: Path):
    writer = StoreWriter.open(tmp_path / "w", FINGERPRINT, [ArraySpec("a", (6,), "int32", 4)])
    writer.write("first", [("a", 0, np.arange(3, dtype=np.int32))])
    writer.write("last", [("a", 4, np.arange(2, dtype=np.int32))])
    writer.write("twice", [("a", 2, np.arange(4, dtype=np.int32))])
    for units, message in [
        (["first", "gone"], "1 of 2 units are not written, such as gone"),
        (["first", "last"], "a: rows 3 to 4 are not written"),
        (["first"], "a: rows 3 to 6 are not written"),
        (["first", "twice"], "a: rows 2 to 3 are written twice"),
    ]:
        with pytest.raises(StoreError, match=message):
            writer.finish(tmp_path / "target", units, {})
    assert not (tmp_path / "target").exists()


def test_a_short_write_is_carried_on(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:1000], at))
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("how", ["raises", "writes nothing"])
def test_a_disk_that_fills_up_is_told_and_the_same_call_carries_on(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, how: str
):
    real, calls = os.pwrite, []

    def full(handle: int, data: memoryview, offset: int) -> int:
        calls.append(offset)
        if len(calls) < 30:
            return real(handle, data, offset)
        if how == "raises":
            raise OSError(errno.ENOSPC, "No space left on device")
        return 0

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match=r"disk full while writing rows:\d+") as caught:
        build(tmp_path / "work", tmp_path / "features.zarr")
    assert "run the same command again" in str(caught.value)
    monkeypatch.setattr(os, "pwrite", real)
    assert opened(tmp_path / "work").done(NAMES[0])
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_disk_that_fills_up_under_the_ledger_leaves_a_line_that_is_ignored(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    writer = opened(tmp_path / "work")
    writer.write(*UNITS[0], note={"unit": NAMES[0]})
    real, calls = os.write, []

    def full(handle: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=f"disk full while writing {NAMES[1]}"):
        writer.write(*UNITS[1])
    monkeypatch.setattr(os, "write", real)
    assert writer.done(NAMES[0])
    assert not writer.done(NAMES[1])
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_disk_without_room_is_told_before_the_work_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, calls = os.posix_fallocate, []

    def full(handle: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match=r"[\d,]+ bytes more are needed, [\d,]+ are free"):
        opened(tmp_path / "work")
    assert tree(tmp_path / "work") == {}


def test_a_store_larger_than_the_disk_is_refused_with_both_sizes(tmp_path: Path):
    petabytes = [ArraySpec("a", (2**40, 2**13), "float16", 2**30)]
    with pytest.raises(StoreError, match="18,014,398,509,481,984 bytes more are needed"):
        StoreWriter.open(tmp_path / "work", FINGERPRINT, petabytes)
    assert tree(tmp_path / "work") == {}


def test_a_disk_that_cannot_reserve_space_gets_the_same_bytes(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    def refuse(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert tree(build(tmp_path / "work", tmp_path / "a")) == straight
    monkeypatch.delattr(os, "posix_fallocate")
    assert tree(build(tmp_path / "work", tmp_path / "b")) == straight


def test_another_fault_of_the_disk_is_not_called_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(handle: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    writer = opened(tmp_path / "work")
    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(OSError, match="Input/output"):
        writer.write(*UNITS[0])


def test_a_mapping_with_other_key_order_gives_the_same_ledger(tmp_path: Path):
    spec = [ArraySpec("a", (1,), "int8")]
    files = []
    for fields in ({"x": 1, "y": 2}, {"y": 2, "x": 1}):
        writer = StoreWriter.open(tmp_path / "work", Fingerprint(fields), spec)
        writer.write("u", [("a", 0, np.zeros(1, np.int8))])
        writer.finish(tmp_path / "target", ["u"], {})
        files.append((tmp_path / "target" / "zarr.json").read_bytes())
    assert files[0] == files[1]
    assert json.loads(files[0])["attributes"]["melov"]["arrays"] == {"a": "d202ef8d"}
