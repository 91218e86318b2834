import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from stages.features.features import Features
from stages.heads.settings import HeadsConfig
from stages.heads.units.text import TextUnit
from stages.heads.units.text_bounds import hull_distance

H = 6


def unit(seed, spread=1.0):
    torch.manual_seed(seed)
    sizes = {"d_t": 5, "d_local": 7, "d_h": H}
    text = TextUnit(HeadsConfig(variant="mimic", units=("text",), joint_space=False, **sizes))
    with torch.no_grad():
        for p in text.parameters():
            p.copy_(spread * torch.randn_like(p))
    return text


def texts(seed, lengths):
    g = torch.Generator().manual_seed(seed)
    n, most = len(lengths), max(lengths)
    mask = torch.arange(most) < torch.tensor(lengths)[:, None]
    return Features(
        text_global=torch.randn(n, 5, generator=g),
        text_local=torch.randn(n, most, 7, generator=g),
        text_mask=mask,
        has_image=torch.zeros(n, dtype=torch.bool),
    )


def sides(seed, mentions, entities, spread=1.0):
    text = unit(seed, spread)
    with torch.no_grad():
        return (
            text,
            text.mention_side(texts(seed + 1, mentions)),
            text.entity_side(texts(seed + 2, entities)),
        )


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), LENGTHS, LENGTHS, st.sampled_from([1e-3, 0.3, 1.0, 8.0]))
@torch.no_grad()
def test_the_bound_is_never_below_the_score(seed, mentions, entities, spread):
    text, m, e = sides(seed, mentions, entities, spread)
    exact = text.double().costly(*_double(text, seed, mentions, entities))
    bound = text.bound(text.mention_bounds(m), text.entity_bounds(e))
    assert bound.shape == exact.shape
    assert (bound.double() >= exact - 1e-6 * exact.abs()).all()


def _double(text, seed, mentions, entities):
    return [
        side(f.with_texts(f.text_global.double(), f.text_local.double()))
        for side, f in (
            (text.mention_side, texts(seed + 1, mentions)),
            (text.entity_side, texts(seed + 2, entities)),
        )
    ]


@torch.no_grad()
def test_a_mention_of_one_token_has_a_tight_bound():
    text, m, e = sides(3, [1, 1], [4, 2, 7])
    bound = text.bound(text.mention_bounds(m), text.entity_bounds(e))
    torch.testing.assert_close(bound, text.costly(m, e), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_hull_around_the_origin_leaves_the_bound_of_the_direction_alone():
    text, m, e = sides(5, [8], [3, 3])
    m.value[:, 4:] = -m.value[:, :4]
    m = type(m)(m.t, m.key, m.value, m.value @ m.value.mT, m.bias)
    bound = text.bound(text.mention_bounds(m), text.entity_bounds(e))
    centred = e.direction - e.direction.mean(-1, keepdim=True)
    want = centred.norm(dim=-1) * H**0.5 + e.offset
    torch.testing.assert_close(bound[0], want, rtol=1e-3, atol=1e-3)
    assert (bound >= text.costly(m, e)).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_distance_of_a_hull_is_that_of_a_general_solver_or_a_little_less(n):
    rng = np.random.default_rng(n)
    hulls = rng.standard_normal((20, n, H)) + rng.uniform(0, 2, (20, 1, 1))
    found = hull_distance(torch.from_numpy(hulls)).numpy()
    for points, distance in zip(hulls, found, strict=True):
        best = minimize(
            lambda p, x=points: float(np.sum((p @ x) ** 2)),
            np.full(n, 1 / n),
            bounds=[(0, 1)] * n,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            tol=1e-14,
        ).fun
        assert 0 <= distance <= np.sqrt(best) + 1e-5
        assert distance >= 0.9 * np.sqrt(best) - 0.05


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), LENGTHS, LENGTHS, st.data())
@torch.no_grad()
def test_single_pairs_have_the_scores_that_all_pairs_have(seed, mentions, entities, data):
    text, m, e = sides(seed, mentions, entities)
    pair = st.tuples(st.integers(0, len(mentions) - 1), st.integers(0, len(entities) - 1))
    i, j = torch.tensor(data.draw(st.lists(pair, min_size=1, max_size=12))).T
    found = text.costly_at(m, e, i, j)
    torch.testing.assert_close(found, text.costly(m, e)[i, j], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_taken_mentions_score_as_in_the_whole():
    text, m, e = sides(9, [2, 9, 5, 1], [3, 6])
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(text.costly(m.take(rows), e), text.costly(m, e)[rows])


@torch.no_grad()
def test_taken_entities_score_as_in_the_whole():
    text, m, e = sides(11, [2, 9], [3, 6, 1, 4])
    rows = torch.tensor([3, 0, 2])
    torch.testing.assert_close(text.costly(m, e.take(rows)), text.costly(m, e)[:, rows])
