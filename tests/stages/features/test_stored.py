"""Rows and matrices of a store that lead out of it, under checksums that are right."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.build import building
from cache.errors import StoreError
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.graph.source import GraphSource
from tests.support.small_runs import CPU

EVERYTHING = ("tokens", "pictures", "patches", "lexical", "words")


def another(store: FeatureStore, folder: Path, name: str, change) -> FeatureStore:
    """The same store with one array changed, written as extraction writes it."""
    arrays = {n: np.array(store[n].slice(0, len(store[n]))) for n in store}
    arrays[name] = np.asarray(change(arrays[name]), arrays[name].dtype)
    specs = [ArraySpec(n, rows.shape, rows.dtype.name) for n, rows in arrays.items()]
    target = folder / "features.zarr"
    with building(target, folder / "work", "x", store.fingerprint, specs) as build:
        build.write("all", [(n, 0, rows) for n, rows in arrays.items()])
        build.finish(["all"], store.attributes)
    return FeatureStore.open(target)


def with_first(value):
    def change(rows):
        rows[0] = value
        return rows

    return change


CHANGES = {
    "mentions/test/text": with_first(10**6),
    "mentions/train/text": with_first(-1),
    "entities/text": lambda rows: rows[1:],
    "mentions/test/image": with_first(10**6),
    "entities/image": with_first(-2),
    "lexical/entities/indices": with_first(10**6),
    "lexical/mentions/test/indptr": with_first(3),
    "words/mentions/train/indptr": lambda rows: rows * 1000,
    "words/mentions/valid/data": with_first(np.nan),
    "texts/offsets": with_first(-5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_leads_out_of_the_store_is_an_error_that_names_it(opened, tmp_path, name):
    store = another(opened.store, tmp_path, name, CHANGES[name])
    store.verify()
    with pytest.raises(StoreError) as caught:
        CachedFeatures(store, EVERYTHING, CPU)
    named = name.rpartition("/")[0] if name.startswith(("lexical", "words", "entities")) else name
    assert named in str(caught.value) or "texts/local" in str(caught.value)


def test_the_graph_reads_no_text_that_is_not_there(opened, tmp_path):
    store = another(opened.store, tmp_path, "mentions/test/text", with_first(10**6))
    with pytest.raises(StoreError, match="mentions/test/text is damaged: 1000000 is no row"):
        GraphSource.of(store)


def test_shapes_that_are_not_the_arrays_are_an_error(opened):
    attributes = {**opened.store.attributes, "shapes": {"d_t": 3}}
    with pytest.raises(StoreError, match="the attribute 'shapes' is not what the arrays have"):
        CachedFeatures(replace(opened.store, attributes=attributes), EVERYTHING, CPU)


def test_a_store_as_it_was_written_is_none(opened, tmp_path):
    store = another(opened.store, tmp_path, "entities/text", lambda rows: rows)
    assert CachedFeatures(store, EVERYTHING, CPU).shapes == opened.store.attributes["shapes"]
    shutil.rmtree(tmp_path / "features.zarr")
