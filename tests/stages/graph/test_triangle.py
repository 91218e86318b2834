"""Half of the products against whole rows: the same graph, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph import triangle
from stages.graph.build import build_rows
from stages.graph.candidates import candidate_scores
from stages.graph.triangle import few_above
from tests.support.graphs import METRIC, METRICS, assert_same_bits, points


def by(route, *arguments, **more):
    """`build_rows` of mentions among themselves, by `triangle` or by `rows`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.graph.build.few_above", lambda scores: route == "triangle")
        return build_rows(*arguments, same=True, **more)


@given(
    name=st.sampled_from(METRICS),
    n=st.integers(1, 60),
    limit=st.sampled_from([1, 2, 5, None]),
    floor=st.sampled_from([0.0, 0.1, 0.6]),
    block=st.integers(1, 70),
    piece=st.integers(1, 9),
    pictured=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=150)
def test_both_routes_give_the_same_bits(name, n, limit, floor, block, piece, pictured, seed):
    x = points(name, n, seed)
    pictures = np.random.default_rng(seed).integers(-1, 5, n)
    exclude = (pictures, pictures) if pictured else None
    whole = by("rows", x, x, METRIC[name], floor, limit, exclude=exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triangle, "PIECE", piece)
        half = by("triangle", x, x, METRIC[name], floor, limit, block, exclude)
    assert_same_bits(half, whole)


def test_the_floor_decides_the_route():
    x = np.random.default_rng(0).standard_normal((1000, 5)).astype("f4")
    many, few = (candidate_scores(METRIC["kernel"], x, x, floor) for floor in (0.01, 0.9))
    assert few_above(few)
    assert not few_above(many)
