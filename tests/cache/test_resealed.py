"""Files whose checksums are right and whose content no writer of this package left."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import StoreError
from cache.metadata import LEDGER_KEY, store_text
from cache.reader import FeatureStore
from cache.sealed import SEAL
from tests.support.small_stores import build, contents, opened, tree, units_of


def with_ledger(store: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    node = json.loads((store / "zarr.json").read_text())
    ledger = node["attributes"][LEDGER_KEY]
    del ledger[SEAL]
    change(ledger)
    (store / "zarr.json").write_text(store_text(ledger))


def of_array(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda ledger: ledger["arrays"]["texts/global"].update(values)


LEDGERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no arrays": lambda ledger: ledger.pop("arrays"),
    "arrays of another type": lambda ledger: ledger.update(arrays=[1]),
    "no fingerprint": lambda ledger: ledger.pop("fingerprint"),
    "a fingerprint that is none": lambda ledger: ledger.update(fingerprint="x"),
    "no attributes": lambda ledger: ledger.pop("attributes"),
    "attributes that are no object": lambda ledger: ledger.update(attributes=[1]),
    "shapes that are a number": lambda ledger: ledger["attributes"].update(shapes=3),
    "a shape that is a text": lambda ledger: ledger["attributes"].update(shapes={"d_t": "3"}),
    "columns that are a number": lambda ledger: ledger["attributes"].update(record_arrays=7),
    "a reason that is a list": lambda ledger: ledger["attributes"].update(
        failed_pictures={"a.png": []}
    ),
    "an encoder that is a number": lambda ledger: ledger["attributes"].update(text_encoder=1),
    "no shape": lambda ledger: ledger["arrays"]["ids"].pop("shape"),
    "a huge shape": of_array(shape=[2**62, 5]),
    "a shape of texts": of_array(shape=["37", "5"]),
    "a negative shape": of_array(shape=[-1, 5]),
    "huge chunks": of_array(chunk_rows=2**50, shape=[2**50, 5], crc32=["0"]),
    "chunks of no rows": of_array(chunk_rows=0),
    "a type of objects": of_array(dtype="object"),
    "a type that is none": of_array(dtype=None),
    "checksums that are numbers": of_array(crc32=[1] * 10),
    "too few checksums": of_array(crc32=["00000000"]),
    "an array below another": lambda ledger: ledger["arrays"].update(
        {"ids/x": ledger["arrays"]["ids"]}
    ),
    "a number of 4,000 digits": of_array(shape=[10**4000, 5]),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_a_ledger_that_tells_of_no_store_is_one_error(tmp_path: Path, name: str):
    store = build(tmp_path / "work", tmp_path / "features.zarr")
    with_ledger(store, lambda ledger: None)
    FeatureStore.open(store).verify()  # the seal alone is no reason
    with_ledger(store, LEDGERS[name])
    with pytest.raises(StoreError, match=r"features\.zarr: damaged: .*tells of no store"):
        FeatureStore.open(store)


@pytest.mark.parametrize(
    "line",
    [
        {"unit": ["x"], "parts": [], "note": None},
        {"unit": "chunks:1", "note": None},
        {"unit": "chunks:1", "parts": [["ids", 0, 4]], "note": None},
        {"unit": "chunks:1", "parts": [["ids", "0", 4, [1]]], "note": None},
        {"unit": "chunks:1", "parts": [["ids", 0, 4, [{}]]], "note": None},
        {"unit": "chunks:1", "parts": [[{}, 0, 4, [1]]], "note": None},
        [],
    ],
)
def test_a_line_of_a_ledger_that_tells_of_no_unit_is_passed_over(tmp_path: Path, line: Any):
    straight = tree(build(tmp_path / "straight", tmp_path / "straight.zarr"))
    partial, target = tmp_path / "partial", tmp_path / "features.zarr"
    units = units_of(contents())
    with opened(partial, target) as one:
        one.write(*units[0], note={"unit": units[0][0]})
    (file,) = partial.rglob("*.jsonl")
    said = json.dumps(line).encode()
    file.write_bytes(file.read_bytes() + b"\n%08x %s\n" % (zlib.crc32(said), said))
    assert tree(build(partial, target)) == straight


def test_rows_that_are_wrong_under_a_right_ledger_are_no_features(tmp_path: Path):
    store = build(tmp_path / "work", tmp_path / "features.zarr")
    with_ledger(store, of_array(crc32=["00000000"] * 10))
    with pytest.raises(StoreError, match="rows 0 to 4 are not those that were written"):
        FeatureStore.open(store)["texts/global"].gather(np.array([0]))


@pytest.mark.parametrize("fill", [10**30, -1, "x", None, [0]])
def test_metadata_of_an_array_that_zarr_cannot_read_are_one_error(tmp_path: Path, fill: Any):
    store = build(tmp_path / "work", tmp_path / "features.zarr")
    node = json.loads((store / "ids" / "zarr.json").read_text())
    (store / "ids" / "zarr.json").write_text(json.dumps({**node, "fill_value": fill}))
    with pytest.raises(StoreError, match=r"features\.zarr: ids: "):
        FeatureStore.open(store)["ids"]


@pytest.mark.parametrize(
    "grid", [{"chunk_shape": [0, 5]}, {"chunk_shape": [0]}, {"chunk_shape": [-1]}, {}, None]
)
def test_chunks_of_no_rows_in_an_arrays_metadata_are_one_error(tmp_path: Path, grid: Any):
    store = build(tmp_path / "work", tmp_path / "features.zarr")
    for name in ("ids", "texts/global"):
        node = json.loads((store / name / "zarr.json").read_text())
        node["chunk_grid"] = {"name": "regular", "configuration": grid}
        (store / name / "zarr.json").write_text(json.dumps(node))
        with pytest.raises(StoreError, match=r"features\.zarr"):
            FeatureStore.open(store)[name].gather([0])


def test_metadata_of_an_array_that_say_the_same_in_other_words_are_read(tmp_path: Path):
    store = build(tmp_path / "work", tmp_path / "features.zarr")
    node = json.loads((store / "ids" / "zarr.json").read_text())
    (store / "ids" / "zarr.json").write_text(json.dumps(node))
    rows = FeatureStore.open(store)["ids"]
    np.testing.assert_array_equal(rows.slice(0, len(rows)), contents()["ids"])
