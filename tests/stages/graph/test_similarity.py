"""The four similarities of Table 3, against their formulas."""

import numpy as np
import pytest

from stages.graph.distances import GraphError
from stages.graph.similarity import affinities, make_metric, similarity

METRICS = ("kernel", "euclidean", "cosine", "dot")
B, SCALE = 1.7, 30.0


@pytest.fixture
def pairs():
    return np.random.default_rng(1).standard_normal((2, 300, 7)).astype(np.float32)


def formula(name, x, y):
    """Written from the table in the module's docstring, one pair at a time."""
    x, y = x.astype(float), y.astype(float)
    d = np.sqrt(((x - y) ** 2).sum())
    return {
        "kernel": np.exp(-(d**2) / (2 * B**2)),
        "euclidean": 1 / (1 + d / B),
        "cosine": max(0.0, x @ y / (np.linalg.norm(x) * np.linalg.norm(y))),
        "dot": min(1.0, max(0.0, x @ y / SCALE)),
    }[name]


@pytest.mark.parametrize("name", METRICS)
def test_similarities_equal_their_formulas(name, pairs):
    ours = similarity(make_metric(name, B, SCALE), *pairs)
    plain = [formula(name, x, y) for x, y in zip(*pairs, strict=True)]
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", METRICS)
def test_similarities_lie_in_0_1_and_never_fall_as_the_affinity_grows(name, pairs):
    metric = make_metric(name, B, SCALE)
    affinity = np.sort(affinities(metric, *(50 * p for p in pairs)))
    weights = metric.weigh(affinity)
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert (np.diff(weights) >= 0).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_pair_has_the_same_bits_in_either_order_and_in_any_block(name, pairs):
    metric = make_metric(name, B, SCALE)
    whole = similarity(metric, *pairs)
    np.testing.assert_array_equal(whole, similarity(metric, *pairs[::-1]))
    alone = [similarity(metric, pairs[0, [i]], pairs[1, [i]])[0] for i in range(len(whole))]
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("floor", [0.01, 0.1, 0.5, 0.9])
def test_the_floor_s_affinity_weighs_exactly_the_floor(name, floor):
    metric = make_metric(name, B, SCALE)
    affinity = np.array([metric.affinity_at(floor)])
    assert metric.weigh(affinity)[0] == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize("name", ["kernel", "euclidean", "cosine"])
def test_equal_points_have_similarity_1(name, pairs):
    ours = similarity(make_metric(name, B, SCALE), pairs[0], pairs[0])
    np.testing.assert_allclose(ours, 1, rtol=1e-12)


def test_a_zero_vector_is_similar_to_nothing_by_cosine():
    zero, one = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert similarity(make_metric("cosine", B, SCALE), zero, one)[0] == 0


@pytest.mark.parametrize("name", ["kernel", "euclidean", "dot"])
def test_a_metric_without_a_scale_is_refused_by_name(name):
    with pytest.raises(GraphError, match=f"metric {name}: its scale is 0"):
        make_metric(name, 0.0, 0.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-200, 1e200, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["kernel", "euclidean", "dot"])
def test_a_scale_that_no_features_have_is_refused(name, scale):
    with pytest.raises(GraphError, match="expected a positive number"):
        make_metric(name, scale, scale)
