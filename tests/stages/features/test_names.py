"""Rows of several names an entity, against plain loops."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.features.names import NameRows, best_products, own_names

counts = st.lists(st.integers(1, 4), min_size=1, max_size=8)
TERMS = 5


def made(counts: list[int], seed: int) -> NameRows:
    rng = np.random.default_rng(seed)
    rows = rng.random((sum(counts), TERMS)) * (rng.random((sum(counts), TERMS)) < 0.4)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return NameRows(sp.csr_array(rows.astype(np.float32)), offsets)


def lists_of(names: NameRows) -> list[np.ndarray]:
    """The rows of each entity's names."""
    dense = names.rows.toarray()
    return [dense[lo:hi] for lo, hi in zip(names.offsets, names.offsets[1:], strict=False)]


@settings(deadline=None, max_examples=60)
@given(counts, st.integers(0, 2**16), st.data())
def test_a_mention_gets_the_best_of_an_entitys_names_and_entities_are_taken_whole(
    counts, seed, data
):
    names = made(counts, seed)
    mentions = made([1, 1, 1], seed + 1).rows
    taken = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=9)), np.int64)
    for some, each in (
        (names, lists_of(names)),
        (names[taken], [lists_of(names)[row] for row in taken]),
    ):
        some.check()
        assert some.shape == (len(each), TERMS)
        found = best_products(mentions, some)
        want = [[max(m @ name for name in own) for own in each] for m in mentions.toarray()]
        np.testing.assert_allclose(found, np.array(want).reshape(3, len(each)), rtol=1e-6)
        np.testing.assert_array_equal(own_names(some).toarray(), [own[0] for own in each] or
                                      np.zeros((0, TERMS)))  # fmt: skip


def test_entities_of_one_name_score_as_a_matrix_does_to_the_bit():
    rows = made([1] * 40, 3)
    mentions = made([1] * 9, 4).rows
    np.testing.assert_array_equal(best_products(mentions, rows), best_products(mentions, rows.rows))


@pytest.mark.parametrize("offsets", [[0, 1, 1, 3], [0, 2], [1, 3], [0, 2, 1, 3], []])
def test_names_that_belong_to_no_entity_are_refused(offsets):
    rows = sp.csr_array(np.eye(3, TERMS, dtype=np.float32))
    with pytest.raises(ValueError, match="entity"):
        NameRows(rows, np.array(offsets, np.int64)).check()
