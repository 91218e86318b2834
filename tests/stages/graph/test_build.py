"""Rows of the similarity matrix, against a plain loop over the dense formula."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph import build, weigher
from stages.graph.build import build_rows
from stages.graph.candidates import kth_best_bound
from stages.graph.distances import GraphError
from stages.graph.similarity import make_metric
from tests.support.graphs import METRIC, METRICS, assert_same_bits, plain_mutual, plain_rows, points


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("limit", [3, None])
def test_the_training_graph_equals_the_dense_formula(name, limit):
    x = points(name, 70, 0)
    ours = build_rows(x, x, METRIC[name], 0.1, limit, same=True)
    np.testing.assert_array_equal(ours.toarray(), plain_mutual(x, METRIC[name], 0.1, limit))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("limit", [3, None])
def test_rows_of_other_mentions_equal_a_plain_loop(name, limit):
    q, k = points(name, 30, 1), points(name, 90, 2)
    ours = build_rows(q, k, METRIC[name], 0.1, limit)
    np.testing.assert_array_equal(ours.toarray(), plain_rows(q, k, METRIC[name], 0.1, limit))


@given(
    name=st.sampled_from(METRICS),
    n=st.integers(1, 50),
    limit=st.sampled_from([1, 2, 5, None]),
    floor=st.sampled_from([0.0, 0.1, 0.6]),
    block=st.integers(1, 60),
    pieces=st.integers(1, 9),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=150)
def test_any_block_size_gives_the_same_bits(name, n, limit, floor, block, pieces, seed):
    x = points(name, n, seed)
    whole = build_rows(x, x, METRIC[name], floor, limit, 4096, same=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PIECE", pieces)
        patch.setattr(weigher, "PAIRS", pieces + 1)
        assert_same_bits(whole, build_rows(x, x, METRIC[name], floor, limit, block, same=True))
    rows = build_rows(x, x[::2], METRIC[name], floor, limit, 4096)
    assert_same_bits(rows, build_rows(x, x[::2], METRIC[name], floor, limit, block))


@given(
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    shift=st.sampled_from([0.0, 10.0, 1000.0]),
    name=st.sampled_from(["kernel", "cosine", "dot"]),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=30)
def test_the_margin_loses_no_neighbour_of_close_or_shifted_points(scale, shift, name, seed):
    rng = np.random.default_rng(seed)
    x = (scale * (shift + rng.standard_normal((60, 16)))).astype(np.float32)
    metric = make_metric(name, 4 * scale, float((x.astype(float) ** 2).sum(1).max()))
    ours = build_rows(x, x, metric, 0.1, 4)
    np.testing.assert_array_equal(ours.toarray(), plain_rows(x, x, metric, 0.1, 4))


def test_rows_longer_than_the_folding_width_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((4, 6)), rng.standard_normal((1500, 6))
    q, k = q.astype(np.float32), k.astype(np.float32)
    ours = build_rows(q, k, METRIC["kernel"], 0.01, 5)
    np.testing.assert_array_equal(ours.toarray(), plain_rows(q, k, METRIC["kernel"], 0.01, 5))


@given(n=st.integers(2, 3000), k=st.integers(1, 40), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_at_least_k_scores_reach_the_bound_of_the_kth_best(n, k, seed):
    k = min(k, n - 1)
    scores = np.random.default_rng(seed).standard_normal((3, n)).astype(np.float32)
    assert ((scores >= kth_best_bound(scores, k)[:, None]).sum(axis=1) >= k).all()


@pytest.mark.parametrize("name", METRICS)
def test_the_training_graph_is_symmetric_with_a_unit_diagonal_and_sorted_int32(name):
    graph = build_rows(*[points(name, 200, 3)] * 2, METRIC[name], 0.1, 6, 64, same=True)
    assert isinstance(graph, sp.csr_array)
    assert (graph.indices.dtype, graph.indptr.dtype, graph.dtype) == (np.int32, np.int32, "f4")
    np.testing.assert_array_equal(graph.toarray(), graph.T.toarray())
    np.testing.assert_array_equal(graph.diagonal(), 1)
    assert (np.diff(graph.indptr) <= 7).all()
    assert all((np.diff(row.indices) > 0).all() for row in graph if row.nnz)
    assert graph.data.min() > np.float32(0.1)


def test_an_edge_that_one_end_only_has_among_its_nearest_is_dropped():
    x = np.array([[0.0], [1.0], [1.5]], np.float32)  # 0's nearest is 1, whose nearest is 2
    graph = build_rows(x, x, METRIC["kernel"], 0.1, 1, same=True)
    np.testing.assert_array_equal(graph.toarray() > 0, [[1, 0, 0], [0, 1, 1], [0, 1, 1]])


def test_duplicate_mentions_have_weight_1_and_ties_go_to_the_lower_index():
    x = np.ones((6, 3), np.float32)
    rows = build_rows(x[:1], x, METRIC["kernel"], 0.1, 2)
    np.testing.assert_array_equal(rows.toarray(), [[1, 1, 0, 0, 0, 0]])
    graph = build_rows(x, x, METRIC["kernel"], 0.1, None, same=True)
    np.testing.assert_array_equal(graph.toarray(), np.ones((6, 6)))


def test_isolated_mentions_keep_their_diagonal_alone():
    x = 100 * np.eye(5, dtype=np.float32)
    graph = build_rows(x, x, METRIC["kernel"], 0.1, 3, same=True)
    np.testing.assert_array_equal(graph.toarray(), np.eye(5))


def test_a_weight_equal_to_the_floor_is_not_stored():
    x = np.array([[0.0], [2.0]], np.float32)  # 1 / (1 + 2 / 2) = 0.5
    assert build_rows(x, x, METRIC["euclidean"], 0.5, None, same=True).nnz == 2
    assert build_rows(x, x, METRIC["euclidean"], 0.4999, None, same=True).nnz == 4


@pytest.mark.parametrize("same", [True, False])
def test_the_same_picture_is_left_out_and_takes_no_neighbour_s_place(same):
    rng = np.random.default_rng(0)
    x = points("kernel", 60, 4)
    pictures = rng.integers(-1, 6, 60).astype(np.int32)
    metric = METRIC["kernel"]
    ours = build_rows(x, x, metric, 0.1, 3, 16, (pictures, pictures), same)
    if same:
        plain = plain_mutual(x, metric, 0.1, 3, pictures)
    else:
        plain = plain_rows(x, x, metric, 0.1, 3, (pictures, pictures))
    np.testing.assert_array_equal(ours.toarray(), plain)
    without = build_rows(x, x, metric, 0.1, 3, 16, None, same)
    assert (without.toarray() != ours.toarray()).any()


@pytest.mark.parametrize(("m", "n"), [(0, 4), (4, 0), (0, 0)])
def test_no_queries_or_no_keys_make_an_empty_matrix(m, n):
    rows = build_rows(np.ones((m, 3)), np.ones((n, 3)), METRIC["kernel"], 0.1, 2)
    assert (rows.shape, rows.nnz) == ((m, n), 0)


def test_features_of_different_width_are_refused():
    with pytest.raises(GraphError, match="queries have 3 features, keys 4"):
        build_rows(np.ones((2, 3)), np.ones((2, 4)), METRIC["kernel"], 0.1, 2)
