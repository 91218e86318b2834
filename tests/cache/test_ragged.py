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

WITH_GAPS = {
    "values": np.concatenate([VALUES[:11], np.zeros((6, 4), np.float16), VALUES[11:], VALUES[:2]]),
    "offsets": np.stack([OFFSETS[:-1], OFFSETS[1:]], axis=1) + 6 * (np.arange(10) > 5)[:, None],
}
FORMS = [f"{how}, {rows}" for how in ("gap-free", "gaps") for rows in (1, 2, 5, 100)]

rows_of_items = st.lists(st.integers(0, len(ITEMS) - 1), max_size=20)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RaggedArray]:
    """The same items in chunks of different sizes, end to end and with unused rows between."""
    folder = tmp_path_factory.mktemp("ragged")
    found = {}
    for chunk_rows in (1, 2, 5, 100):
        for how in ("gap-free", "gaps"):
            form = f"{how}, {chunk_rows}"
            arrays = {"values": VALUES, "offsets": OFFSETS} if how == "gap-free" else WITH_GAPS
            path = build(folder / "work", folder / form, arrays, chunk_rows)
            found[form] = FeatureStore.open(path).ragged("values", "offsets")
    return found


@given(rows_of_items, st.sampled_from(FORMS))
def test_gathered_items_are_the_items_end_to_end(
    ragged: dict[str, RaggedArray], rows: list[int], form: str
):
    values, lengths = ragged[form].gather(rows)
    expected = [ITEMS[row] for row in rows]
    np.testing.assert_array_equal(values, np.concatenate([VALUES[:0], *expected]))
    assert lengths.tolist() == [len(item) for item in expected]
    assert lengths.tolist() == ragged[form].lengths(rows).tolist()
    assert values.dtype == VALUES.dtype


@given(rows_of_items, st.none() | st.integers(0, 15), st.sampled_from(FORMS))
def test_padded_items_are_the_items_cut_and_then_zeros(
    ragged: dict[str, RaggedArray], rows: list[int], max_length: int | None, form: str
):
    padded, mask = ragged[form].gather_padded(rows, max_length)
    cut = [ITEMS[row][:max_length] for row in rows]
    longest = max((len(item) for item in cut), default=0)
    assert padded.shape == (len(rows), longest, 4)
    assert mask.shape == (len(rows), longest)
    for item, found, real in zip(cut, padded, mask, strict=True):
        np.testing.assert_array_equal(found[: len(item)], item)
        assert not found[len(item) :].any()
        assert real.tolist() == [True] * len(item) + [False] * (longest - len(item))


@pytest.mark.parametrize("row", [-1, 10])
def test_an_item_out_of_range_is_named(ragged: dict[str, RaggedArray], row: int):
    for call in (
        ragged["gaps, 2"].gather,
        ragged["gaps, 2"].gather_padded,
        ragged["gaps, 2"].lengths,
    ):
        with pytest.raises(IndexError, match=f"values: item {row} is out of range for 10"):
            call([0, row])


@pytest.mark.parametrize(
    "offsets",
    [[], 7, [0, 5], [1, 26], [0, 9, 8, 26], [[[0, 26]]], [[0, 1, 2]], [[0, 27]], [[-1, 3]],
     [[3, 2]], [[0, 5], [4, 6]], [[5, 6], [0, 5]]],
    ids=str,
)  # fmt: skip
def test_offsets_that_do_not_fit_the_values_are_refused(
    ragged: dict[str, RaggedArray], offsets: list[int]
):
    with pytest.raises(StoreError, match=r"values: offsets of shape .* within its 26 rows"):
        RaggedArray(ragged["gap-free, 2"].values, np.asarray(offsets))


def test_rows_between_items_may_be_unused_and_items_need_not_reach_the_end(
    ragged: dict[str, RaggedArray],
):
    one = RaggedArray(ragged["gap-free, 2"].values, np.array([[2, 5], [7, 7], [7, 20]]))
    assert one.starts.tolist() == [2, 7, 7]
    assert one.lengths([2, 0, 1]).tolist() == [13, 3, 0]
    np.testing.assert_array_equal(one.gather([0, 2])[0], np.r_[VALUES[2:5], VALUES[7:20]])


def test_no_items_at_all_are_fine(tmp_path: Path):
    arrays = {"values": VALUES[:0], "offsets": OFFSETS[:1]}
    store = FeatureStore.open(build(tmp_path / "work", tmp_path / "store", arrays))
    ragged = store.ragged("values", "offsets")
    assert len(ragged) == 0
    assert ragged.gather([])[0].shape == (0, 4)
    assert ragged.gather_padded([])[0].shape == (0, 0, 4)
