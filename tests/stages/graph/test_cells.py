"""The approximate backend: what it finds of the exact edges, and with which values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph import cells, probes
from stages.graph.build import build_rows
from stages.graph.cells import CellIndex, kth_least
from stages.graph.distances import mean_distance
from stages.graph.probes import tuned_index
from stages.graph.similarity import make_metric
from tests.support.graphs import assert_same_bits, clustered, edges

N = 3000
FLOORS = {"kernel": 0.05, "euclidean": 0.3, "cosine": 0.4, "dot": 0.2}
METRICS = tuple(FLOORS)


def metric_of(name, x):
    longest = float((x.astype(float) ** 2).sum(axis=1).max())
    return make_metric(name, 0.25 * mean_distance(x), longest)


@pytest.fixture(scope="module")
def made():
    return clustered(N)


@pytest.mark.parametrize("name", METRICS)
def test_nearly_all_edges_are_found_and_shared_ones_have_the_exact_bits(made, name):
    metric, floor = metric_of(name, made), FLOORS[name]
    exact = edges(build_rows(made, made, metric, floor, 10, same=True))
    index, _ = tuned_index(made, metric, floor, 10)
    assert index.probes < index.cells
    found = edges(build_rows(made, made, metric, floor, 10, same=True, index=index))
    off = {pair for pair in exact if pair[0] != pair[1]}
    assert len(off) > 3 * N
    assert len(off & found.keys()) / len(off) >= 0.95
    assert all(found[pair] == exact[pair] for pair in exact.keys() & found.keys())


@pytest.mark.parametrize("name", METRICS)
def test_it_is_symmetric_with_a_unit_diagonal_and_the_same_twice(made, name):
    metric, floor = metric_of(name, made), FLOORS[name]
    first, second = (
        build_rows(made, made, metric, floor, 10, same=True, index=tuned_index(*arguments)[0])
        for arguments in [(made, metric, floor, 10)] * 2
    )
    assert_same_bits(first, second)
    assert (first != first.T).nnz == 0
    np.testing.assert_array_equal(first.diagonal(), 1)


@given(
    name=st.sampled_from(METRICS),
    n=st.integers(1, 90),
    limit=st.sampled_from([1, 4, None]),
    floor=st.sampled_from([0.0, 0.1, 0.6]),
    same=st.booleans(),
    integers=st.booleans(),
    pictured=st.booleans(),
    slack=st.integers(1, 8),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=150)
def test_with_every_cell_read_it_is_the_exact_graph(
    name, n, limit, floor, same, integers, pictured, slack, seed
):
    """Ties, duplicates and zero vectors abound among small integers; lists start too short."""
    rng = np.random.default_rng(seed)
    # cosines of integers tie in theory and not in float64
    whole = integers and name != "cosine"
    x = (rng.integers(-1, 2, (n, 4)) if whole else rng.standard_normal((n, 4))).astype("f4")
    x[: n // 5] = 0
    metric = make_metric(name, 1.0, 4.0)
    queries = x if same else x[::2] + np.float32(0.5)
    pictures = rng.integers(-1, 4, len(queries)), rng.integers(-1, 4, n)
    exclude = (pictures if not same else (pictures[1], pictures[1])) if pictured else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "SLACK", slack)
        patch.setattr(cells, "QUERIES", 7)
        index = CellIndex.of(x, metric)
        index = index.reading(index.cells)
        found = build_rows(queries, x, metric, floor, limit, 16, exclude, same, index)
    exact = build_rows(queries, x, metric, floor, limit, 16, exclude, same)
    assert_same_bits(found, exact)


def far_apart(n, d, distance, seed):
    """Two clouds so far apart that float32 rounds away digits of the distances within each."""
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x + distance * (np.arange(n) % 2)[:, None]).astype("f4")


def test_neighbours_at_the_floor_survive_the_rounding_of_points():
    x = far_apart(600, 8, 1e4, seed=2)
    metric = make_metric("kernel", 1.5, 1.0)
    index = CellIndex.of(x, metric)
    index = index.reading(index.cells)
    found = build_rows(x, x, metric, 0.05, None, same=True, index=index)
    assert_same_bits(found, build_rows(x, x, metric, 0.05, None, same=True))


def test_a_row_does_not_depend_on_those_searched_with_it():
    # So many that faiss, left alone, takes a matrix product, whose rounding picks other cells.
    x = far_apart(2000, 256, 1e3, seed=0)
    metric = make_metric("kernel", 15.0, 1.0)
    index = CellIndex.of(x, metric).reading(3)
    together = build_rows(x, x, metric, 0.05, 5, index=index)
    for row in range(0, 2000, 100):
        alone = build_rows(x[[row]], x, metric, 0.05, 5, index=index)
        assert_same_bits(together[[row]], alone)


def test_a_crowd_of_one_picture_takes_no_neighbour_s_place(made):
    metric = metric_of("kernel", made)
    x = np.concatenate([made, np.repeat(made[:1], 400, axis=0)])  # far more than a list's slack
    pictures = np.full(len(x), -1)
    pictures[0] = pictures[N:] = 5
    index = CellIndex.of(x, metric).reading(8)
    rows = build_rows(x[:1], x, metric, 0.05, 4, exclude=(pictures[:1], pictures), index=index)
    exact = build_rows(x[:1], x, metric, 0.05, 4, exclude=(pictures[:1], pictures))
    assert rows.nnz == 4
    assert_same_bits(rows, exact)


def test_probes_double_until_a_sample_finds_its_neighbours(monkeypatch):
    x = np.random.default_rng(0).standard_normal((2000, 16)).astype("f4")  # no clusters at all
    metric = make_metric("kernel", 3.0, 1.0)
    monkeypatch.setattr(probes, "LEAST", 1)
    index, facts = tuned_index(x, metric, 0.05, 10)
    assert index.probes > 1
    assert facts == {"cells": 179, "probes": index.probes, "recall": facts["recall"]}
    assert facts["recall"] >= probes.WANTED
    exact = edges(build_rows(x, x, metric, 0.05, 10, same=True))
    found = edges(build_rows(x, x, metric, 0.05, 10, same=True, index=index))
    assert len(exact.keys() & found.keys()) / len(exact) >= 0.95


def test_the_kth_least_of_a_row_shorter_than_k_is_infinite():
    values = np.array([[3.0, 1.0, 2.0], [np.inf, 5.0, np.inf]])
    np.testing.assert_array_equal(kth_least(values, 2), [[2.0], [np.inf]])
    np.testing.assert_array_equal(kth_least(values, 4), [[np.inf], [np.inf]])
    np.testing.assert_array_equal(kth_least(values, None), [[np.inf], [np.inf]])
