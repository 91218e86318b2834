"""Pair distances and their mean, against plain formulas."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph import distances
from stages.graph.distances import GraphError, check_features, mean_distance, squared_distances


def plain_mean(x):
    pairs = combinations(np.asarray(x, np.float64), 2)
    return np.mean([np.linalg.norm(a - b) for a, b in pairs])


@given(
    n=st.integers(2, 40), d=st.integers(1, 20), seed=st.integers(0, 99), block=st.integers(1, 50)
)
@settings(deadline=None, max_examples=60)
def test_the_mean_equals_the_plain_formula_whatever_the_block(n, d, seed, block):
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK", block)
        assert mean_distance(x) == pytest.approx(plain_mean(x), rel=1e-5)


def test_features_far_from_the_origin_lose_no_digits():
    rng = np.random.default_rng(0)
    x = (1000 + rng.integers(-8, 9, (60, 16)) / 16).astype(np.float32)
    assert mean_distance(x) == pytest.approx(plain_mean(x), rel=1e-5)


def test_a_far_origin_makes_no_pair_be_formed_again_but_a_row_with_itself(monkeypatch):
    again = []

    def count(x_i, x_j):
        again.extend(zip(x_i.tolist(), x_j.tolist(), strict=True))
        return squared_distances(x_i, x_j)

    monkeypatch.setattr(distances, "squared_distances", count)
    mean_distance(1000 + np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32))
    assert len(again) == 60
    assert all(i == j for i, j in again)


def test_a_near_pair_far_from_the_mean_loses_no_digits():
    near = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    x = np.concatenate([near * np.float32(1e-3), np.full((1, 8), 1000, np.float32)])
    others = 2 * np.linalg.norm(x[:2].astype(float) - x[2], axis=1).mean()
    close = np.linalg.norm(x[0].astype(float) - x[1])
    assert mean_distance(x) == pytest.approx((others + close) / 3, rel=2e-7)


def test_the_input_is_left_as_it_was():
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    before = x.copy()
    mean_distance(x)
    np.testing.assert_array_equal(x, before)


def test_equal_rows_are_at_distance_zero_and_order_changes_no_bit():
    x, y = np.random.default_rng(0).standard_normal((2, 50, 33)).astype(np.float32)
    assert not squared_distances(x, x).any()
    np.testing.assert_array_equal(squared_distances(x, y), squared_distances(y, x))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_mentions_have_no_mean_distance(n):
    with pytest.raises(GraphError, match=f"two training mentions, found {n}"):
        mean_distance(np.ones((n, 4), np.float32))


def test_equal_features_raise_instead_of_a_zero_bandwidth():
    with pytest.raises(GraphError, match=r"bandwidth would be zero\n  check .*pipeline.extract"):
        mean_distance(np.full((5, 4), 0.3, np.float32))


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "row 1 holds NaN"), (np.inf, "row 1"), (1e30, "an entry is")]
)
def test_features_that_no_product_can_carry_are_refused(value, message):
    x = np.zeros((3, 2), np.float32)
    x[1, 1] = value
    with pytest.raises(GraphError, match=message):
        check_features(x, "train mentions")


def test_a_vector_is_no_matrix_of_features():
    with pytest.raises(GraphError, match=r"train: expected features of shape \(n, d\), found"):
        check_features(np.zeros(3), "train")
