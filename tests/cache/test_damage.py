"""No changed bit of a store passes for rows, and a store held open stays the one that it was."""

import gc
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from cache.build import building
from cache.check import damages
from cache.errors import StoreError
from cache.layout import ArraySpec
from cache.metadata import node_texts
from cache.reader import FeatureStore
from tests.support.small_stores import FINGERPRINT, build, contents, opened, tree, units_of

ARRAYS = contents()


def read(path: Path) -> dict[str, bytes]:
    """Everything that a store says, by whichever route its reader takes."""
    store = FeatureStore.open(path)
    found = {name: store[name].slice(0, len(store[name])).tobytes() for name in store}
    gathered = {name: store[name].gather(np.arange(len(store[name]))).tobytes() for name in store}
    assert found == gathered
    return {**found, "": repr((store.fingerprint, store.attributes, store.specs)).encode()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return build(tmp_path / "work", tmp_path / "features.zarr", chunk_rows=50)


def test_no_changed_byte_of_any_file_passes_in_silence(store: Path):
    right, chance, outcomes = read(store), random.Random(1), []
    for path in sorted(path for path in store.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for _ in range(8):
            damaged = bytearray(whole)
            place = chance.randrange(8 * len(whole))
            damaged[place // 8] ^= 1 << place % 8
            outcomes.append(outcome(path, bytes(damaged), store, right))
        outcomes.append(outcome(path, whole[: len(whole) // 2], store, right))
        outcomes.append(outcome(path, bytes(len(whole)), store, right))
        outcomes.append(outcome(path, None, store, right))
        path.write_bytes(whole)
    assert set(outcomes) == {"error", "same"}
    assert outcomes.count("error") > 150  # the others are blanks, or metadata that say the same


def outcome(path: Path, content: bytes | None, store: Path, right: dict[str, bytes]) -> str:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    try:
        return "same" if read(store) == right else f"another result: {path}"
    except StoreError:
        return "error"


def test_a_lost_file_of_zeros_reads_as_zeros_and_is_reported(tmp_path: Path):
    store = build(tmp_path / "work", tmp_path / "store.zarr", {"zeros": np.zeros(4, np.int64)})
    assert not list(damages(FeatureStore.open(store)))
    (store / "zeros/c.0").unlink()
    assert not FeatureStore.open(store)["zeros"].slice(0, 4).any()
    assert [damage.what for damage in damages(FeatureStore.open(store))] == ["the file is missing"]


def test_a_store_held_open_is_one_store_while_it_is_replaced(store: Path, tmp_path: Path):
    partial = tmp_path / "work"
    held = FeatureStore.open(store)
    assert held["ids"].slice(0, 3).tobytes() == ARRAYS["ids"][:3].tobytes()
    other = {name: array + array.dtype.type(1) for name, array in ARRAYS.items()}
    for _ in range(2):
        build(partial, store, other)
        assert FeatureStore.open(store)["ids"].slice(0, 3).tobytes() == other["ids"][:3].tobytes()
        for name, array in ARRAYS.items():
            assert held[name].gather(np.arange(len(array))).tobytes() == array.tobytes()
    assert [path.name[:10] for path in partial.iterdir()] == [".replaced-"]
    del held
    gc.collect()
    build(partial, store)
    assert list(partial.iterdir()) == []


def test_a_whole_store_is_whole_while_it_is_replaced(store: Path, tmp_path: Path):
    held = FeatureStore.open(store)
    build(tmp_path / "work", store, chunk_rows=7)  # of more files than the one that is held
    assert list(damages(held)) == list(damages(FeatureStore.open(store))) == []
    (store / "foreign").touch()
    assert [damage.path for damage in damages(FeatureStore.open(store))] == [store / "foreign"]


def test_a_store_that_is_removed_while_it_is_held_says_so(store: Path):
    held = FeatureStore.open(store)
    shutil.rmtree(store)
    with pytest.raises(StoreError, match="removed or replaced while it was read"):
        held["ids"].slice(0, 3)


def test_rows_of_a_rewritten_store_are_those_of_one_store(store: Path, tmp_path: Path):
    rewritten = tmp_path / "rewritten.zarr"
    old = zarr.open_group(store, mode="r")
    new = zarr.create_group(rewritten, attributes=old.attrs.asdict())
    for name, array in ARRAYS.items():
        new.create_array(name, data=array)
    held = FeatureStore.open(rewritten)
    held["ids"].slice(0, 3)
    shutil.rmtree(rewritten)
    shutil.copytree(store, rewritten)
    with pytest.raises(StoreError, match="replaced while it was read"):
        held["wide"].slice(0, 3)


def test_a_rewritten_store_whose_rows_differ_is_refused(store: Path, tmp_path: Path):
    old = zarr.open_group(store, mode="r")
    new = zarr.create_group(tmp_path / "rewritten.zarr", attributes=old.attrs.asdict())
    for name, array in ARRAYS.items():
        other = array.copy()
        other[-1:] += other.dtype.type(1)
        new.create_array(name, data=other)
    held = FeatureStore.open(tmp_path / "rewritten.zarr")
    assert held["ids"].gather([0]) == ARRAYS["ids"][0]  # of a chunk that is whole
    for name in ("ids", "wide"):
        with pytest.raises(StoreError, match=f"{name}: damaged: rows .* are not those"):
            held[name].gather([len(held[name]) - 1])


def test_zarr_reads_the_metadata_as_its_own():
    dtypes = ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"]
    specs = [ArraySpec(f"a/{dtype}", (7, 3), dtype, 2) for dtype in dtypes]
    for spec in specs:
        memory: dict[str, object] = {}
        array = zarr.create_array(
            zarr.storage.MemoryStore(memory), shape=spec.shape, dtype=spec.dtype,
            chunks=spec.chunk_shape, filters=None, compressors=None, fill_value=0,
            chunk_key_encoding={"name": "default", "separator": "."},
        )  # fmt: skip

        said = json.loads(node_texts([spec])[f"{spec.name}/zarr.json"])
        assert said == json.loads(memory["zarr.json"].to_bytes())
        assert array.metadata.to_dict()["fill_value"] == said["fill_value"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", None])
@pytest.mark.parametrize("node", ["zarr.json", "texts/zarr.json", "ids/zarr.json"])
def test_metadata_that_were_never_synced_are_written_again(
    tmp_path: Path, node: str, content: bytes | None
):
    """A power cut leaves a renamed file empty, or without its name."""
    straight = tree(build(tmp_path / "w", tmp_path / "straight.zarr"))
    units = units_of(ARRAYS)
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        for unit in units[:5]:
            one.write(*unit)
    if content is None:
        (one.work.group / node).unlink()
    else:
        (one.work.group / node).write_bytes(content)
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        assert [name for name, _ in units if one.done(name)] == [name for name, _ in units[:5]]
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_damaged_padding_is_written_again(tmp_path: Path):
    spec = ArraySpec("a", (5,), "int32", 4)
    rows = np.arange(5, dtype=np.int32)
    for attempt in range(2):
        with building(tmp_path / "a.zarr", tmp_path / "work", "w", FINGERPRINT, [spec]) as one:
            assert not one.done("all")
            one.write("all", [("a", 0, rows)])
            if attempt == 0:
                path = one.work.group / "a" / "c.1"
                path.write_bytes(path.read_bytes()[:-1] + b"\1")
            else:
                one.finish(["all"], {})
    assert (tmp_path / "a.zarr" / "a" / "c.1").read_bytes() == b"\4" + bytes(15)


@pytest.mark.parametrize("bit", range(0, 8 * 60, 7))
def test_a_changed_bit_of_a_ledger_line_undoes_its_unit(tmp_path: Path, bit: int):
    """What failed in a unit stands in its line alone."""
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        one.write(*units_of(ARRAYS)[0], note=[[3, "corrupt: cut short"]])
    (ledger,) = (one.work.path / "ledgers").iterdir()
    line = bytearray(ledger.read_bytes())
    line[len(line) // 3 + bit // 8] ^= 1 << bit % 8
    ledger.write_bytes(line)
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        assert not one.done(units_of(ARRAYS)[0][0])
