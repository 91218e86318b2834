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

from cache.build import building
from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from tests.support.small_stores import (
    ATTRIBUTES,
    FINGERPRINT,
    build,
    contents,
    opened,
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


@pytest.mark.parametrize("chunk_rows", [0, 1, 3, 1000])
def test_zarr_reads_what_was_written_without_a_warning(tmp_path: Path, chunk_rows: int):
    target = build(tmp_path / "work", tmp_path / "features.zarr", None, chunk_rows, chunks=3)
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
    assert ledger["layout"] == 2
    assert ledger["finished"] is True
    assert ledger["fingerprint"] == FINGERPRINT.fields
    assert ledger["attributes"] == ATTRIBUTES
    assert ledger["arrays"].keys() == ARRAYS.keys()
    assert list((tmp_path / "work").iterdir()) == []


def test_neither_the_order_of_writing_nor_the_units_show_in_the_bytes(
    tmp_path: Path, straight: dict[str, bytes]
):
    with opened(tmp_path / "work", tmp_path / "a") as one:
        for unit in reversed(UNITS):
            one.write(*unit)
        one.finish(NAMES, dict(reversed(ATTRIBUTES.items())))
    assert tree(tmp_path / "a") == straight
    assert tree(build(tmp_path / "work", tmp_path / "b", chunks=5)) == straight


def test_a_store_replaces_an_older_one(tmp_path: Path, straight: dict[str, bytes]):
    older = {"old": np.ones((3, 2), np.int32)}
    target = build(tmp_path / "work", tmp_path / "features.zarr", older)
    build(tmp_path / "work", target)
    assert tree(target) == straight
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_concurrent_writers_give_the_same_bytes(
    tmp_path: Path, straight: dict[str, bytes], workers: str
):
    pool = (
        ThreadPoolExecutor(8)
        if workers == "threads"
        # Not by fork: zarr keeps threads.
        else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    )
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        with pool:
            writers = set(pool.map(write_unit, [one] * len(UNITS), UNITS))
        ledgers = [path.name for path in (one.work.path / "ledgers").iterdir()]
        assert sorted(int(name.split("-")[-2]) for name in ledgers) == sorted(writers)
        assert all(one.done(name) for name in NAMES)
        assert one.note(NAMES[2]) == {"unit": NAMES[2]}
        one.finish(NAMES, ATTRIBUTES)
    assert tree(tmp_path / "features.zarr") == straight


def test_a_pickled_build_sees_what_another_one_wrote_since(tmp_path: Path):
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        copy = pickle.loads(pickle.dumps(one))
        one.write(*UNITS[0], note=[1, None])
        assert copy.done(NAMES[0])
        assert copy.note(NAMES[0]) == [1, None]
        assert not copy.done(NAMES[1])


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path):
    rows = ARRAYS["texts/global"][:4]
    for parts, message in [
        ([("texts/other", 0, rows)], "no array 'texts/other'"),
        ([("texts/global", 0, rows.astype(np.float32))], "takes float16"),
        ([("texts/global", 0, rows[:, :2])], r"shape \(5,\)"),
        ([("texts/global", 36, rows)], "36 to 40 are out of the range"),
        ([("texts/global", 0, rows), ("texts/global", -4, rows)], "-4 to 0"),
        ([("texts/global", 0, rows[:3])], "0 to 3 are not whole chunks of 4 rows, of 37"),
        ([("texts/global", 2, rows)], "2 to 6 are not whole chunks"),
        ([("texts/global", 0, rows), ("texts/global", 35, rows[:2])], "35 to 37 are not whole"),
    ]:
        with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
            before = tree(tmp_path / "work")
            with pytest.raises(ValueError, match=message):
                one.write("unit", parts)
            with pytest.raises(TypeError, match="JSON"):
                one.write("unit", [("texts/global", 0, rows)], note=object())
            assert tree(tmp_path / "work") == before
            assert not one.done("unit")


def test_a_store_with_rows_missing_or_written_twice_is_not_finished(tmp_path: Path):
    specs, rows = [ArraySpec("a", (6,), "int32", 2)], np.arange(6, dtype=np.int32)
    with building(tmp_path / "target", tmp_path / "p", "w", FINGERPRINT, specs) as one:
        one.write("first", [("a", 0, rows[:2])])
        one.write("last", [("a", 4, rows[4:])])
        one.write("twice", [("a", 0, rows[:4])])
        for units, message in [
            (["first", "gone"], "1 of 2 units are not written, such as gone"),
            (["first", "last"], "a: rows 2 to 4 are not written"),
            (["first"], "a: rows 2 to 6 are not written"),
            (["first", "twice"], "a: rows 0 to 2 are written twice"),
        ]:
            with pytest.raises(StoreError, match=message):
                one.finish(units, {})
    assert not (tmp_path / "target").exists()


def test_a_short_write_is_carried_on(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:9], at))
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_finish_sweeps_the_work_of_other_settings_and_leaves_files(tmp_path: Path):
    partial = tmp_path / "partial"
    with building(tmp_path / "t", partial, "other", Fingerprint({"x": 1}), []):
        pass
    (partial / ".swept-by-one-that-was-killed" / "texts").mkdir(parents=True)
    (partial / "picture-keys.parquet").touch()
    assert (partial / "other").exists()
    build(partial, tmp_path / "features.zarr")
    assert [path.name for path in partial.iterdir()] == ["picture-keys.parquet"]


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
    with pytest.raises(StoreError, match=r"disk full while writing chunks:\d+") as caught:
        build(tmp_path / "work", tmp_path / "features.zarr")
    assert "run the same command again" in str(caught.value)
    monkeypatch.setattr(os, "pwrite", real)
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_disk_that_fills_up_under_the_ledger_leaves_a_line_that_is_ignored(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    real, calls = os.write, []

    def full(handle: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        one.write(*UNITS[0])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(StoreError, match=f"disk full while writing {NAMES[1]}"):
                one.write(*UNITS[1])
        assert one.done(NAMES[0])
        assert not one.done(NAMES[1])
        one.write(*UNITS[1])
        assert one.done(NAMES[1])
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
        build(tmp_path / "work", tmp_path / "features.zarr")
    assert tree(tmp_path / "work") == {}


def test_a_store_larger_than_the_disk_is_refused_with_both_sizes(tmp_path: Path):
    petabytes = [ArraySpec("a", (2**40, 2**13), "float16", 2**30)]
    with (
        pytest.raises(StoreError, match="18,014,398,509,481,984 bytes more are needed"),
        building(tmp_path / "target", tmp_path / "work", "w", FINGERPRINT, petabytes),
    ):
        pytest.fail("laid out")
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

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(OSError, match="Input/output"):
        build(tmp_path / "work", tmp_path / "features.zarr")


def test_a_mapping_with_other_key_order_gives_the_same_ledger(tmp_path: Path):
    spec = [ArraySpec("a", (1,), "int8")]
    files = []
    for fields in ({"x": 1, "y": 2}, {"y": 2, "x": 1}):
        with building(tmp_path / "t", tmp_path / "p", "w", Fingerprint(fields), spec) as one:
            one.write("u", [("a", 0, np.zeros(1, np.int8))])
            one.finish(["u"], {})
        files.append((tmp_path / "t" / "zarr.json").read_bytes())
    assert files[0] == files[1]
    said = {"shape": [1], "dtype": "int8", "chunk_rows": 1, "crc32": ["d202ef8d"]}
    assert json.loads(files[0])["attributes"]["melov"]["arrays"] == {"a": said}
