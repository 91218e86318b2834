from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import StoreError
from cache.ragged import RaggedArray
from cache.reader import FeatureStore
from tests.support.small_stores import build

LENGTHS = [3, 0, 1, 0, 0, 7, 2, 12, 1, 0]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
VALUES = np.random.default_rng(3).normal(size=(OFFSETS[-1], 4)).astype(np.float16)
ITEMS = [VALUES[lo:hi] for lo, hi in pairwise(OFFSETS)]

rows_of_items = st.lists(st.integers(0, len(ITEMS) - 1), max_size=20)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> dict[int, RaggedArray]:
    """The same items in chunks of different sizes."""
    folder = tmp_path_factory.mktemp("ragged")
    arrays = {"values": VALUES, "offsets": OFFSETS}
    found = {}
    for chunk_rows in (1, 2, 5, 100):
        path = build(folder / "work", folder / str(chunk_rows), arrays, chunk_rows)
        found[chunk_rows] = FeatureStore.open(path).ragged("values", "offsets")
    return found


@given(rows_of_items, st.sampled_from([1, 2, 5, 100]))
def test_gathered_items_are_the_items_end_to_end(
    ragged: dict[int, RaggedArray], rows: list[int], chunk_rows: int
):
    values, lengths = ragged[chunk_rows].gather(rows)
    expected = [ITEMS[row] for row in rows]
    np.testing.assert_array_equal(values, np.concatenate([VALUES[:0], *expected]))
    assert lengths.tolist() == [len(item) for item in expected]
    assert lengths.tolist() == ragged[chunk_rows].lengths(rows).tolist()
    assert values.dtype == VALUES.dtype


@given(rows_of_items, st.none() | st.integers(0, 15), st.sampled_from([1, 2, 5, 100]))
def test_padded_items_are_the_items_cut_and_then_zeros(
    ragged: dict[int, RaggedArray], rows: list[int], max_length: int | None, chunk_rows: int
):
    padded, mask = ragged[chunk_rows].gather_padded(rows, max_length)
    cut = [ITEMS[row][:max_length] for row in rows]
    longest = max((len(item) for item in cut), default=0)
    assert padded.shape == (len(rows), longest, 4)
    assert mask.shape == (len(rows), longest)
    for item, found, real in zip(cut, padded, mask, strict=True):
        np.testing.assert_array_equal(found[: len(item)], item)
        assert not found[len(item) :].any()
        assert real.tolist() == [True] * len(item) + [False] * (longest - len(item))


@pytest.mark.parametrize("row", [-1, 10])
def test_an_item_out_of_range_is_named(ragged: dict[int, RaggedArray], row: int):
    for call in (ragged[2].gather, ragged[2].gather_padded, ragged[2].lengths):
        with pytest.raises(IndexError, match=f"values: item {row} is out of range for 10"):
            call([0, row])


@pytest.mark.parametrize(
    "offsets", [[], [0, 5], [1, 26], [0, 9, 8, 26], [[0, 26]]], ids=lambda value: str(value)
)
def test_offsets_that_do_not_fit_the_values_are_refused(
    ragged: dict[int, RaggedArray], offsets: list[int]
):
    with pytest.raises(StoreError, match="values: the offsets do not ascend from 0 to its 26 rows"):
        RaggedArray(ragged[2].values, np.asarray(offsets))


def test_no_items_at_all_are_fine(tmp_path: Path):
    arrays = {"values": VALUES[:0], "offsets": OFFSETS[:1]}
    store = FeatureStore.open(build(tmp_path / "work", tmp_path / "store", arrays))
    ragged = store.ragged("values", "offsets")
    assert len(ragged) == 0
    assert ragged.gather([])[0].shape == (0, 4)
    assert ragged.gather_padded([])[0].shape == (0, 0, 4)
