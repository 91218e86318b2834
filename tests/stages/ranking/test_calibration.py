import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ranking.calibration import CANDIDATES, SPREADS, Calibration, fit, threshold_of


def plain(scores, temperature, nil, own=None):
    """p(e) of each score, and p(nil), written from the formula; `own` joins the sum."""
    every = [*scores, *([] if own is None else [own])]
    e = [math.exp(s / temperature) for s in every]
    none = 0.0 if nil is None else math.exp(nil / temperature)
    whole = none + sum(e)
    return [x / whole for x in e], none / whole


def drawn(seed, m=300, k=6, temperature=2.0, nil=3.0):
    """Mentions whose entity is drawn by the very probabilities: scores, gold, outside."""
    random = np.random.default_rng(seed)
    scores = -np.sort(-random.normal(5, 3, (m, k)), axis=1)
    gold = np.full(m, np.nan)
    for row, own in enumerate(scores):
        p, none = plain(own, temperature, nil)
        at = random.choice(k + 1, p=[*p, none])
        gold[row] = own[at] if at < k else np.nan
    return scores, gold, np.zeros(m, bool)


def likelihood(scores, gold, outside, temperature, nil):
    total = 0.0
    for own, g, out in zip(scores, gold, outside, strict=True):
        own = [s for s in own if s > -np.inf]
        p, none = plain(own, temperature, nil, g if out else None)
        if math.isnan(g):
            total += math.log(none)
        else:
            total += math.log(p[-1] if out else p[own.index(g)])
    return total


@pytest.mark.parametrize("nil", [None, -1.0, 4.5])
def test_probabilities_are_those_of_the_formula_and_sum_to_one(nil):
    scores = np.array([[3.0, 1.5, -2.0], [7.0, -np.inf, -np.inf]])
    found, none = Calibration(0.7, nil).probabilities(scores)
    for row, (p, q) in enumerate(zip(found, none, strict=True)):
        want, zero = plain([s for s in scores[row] if s > -np.inf], 0.7, nil)
        np.testing.assert_allclose(p[: len(want)], want, rtol=1e-12)
        assert q == pytest.approx(zero, rel=1e-12)
        assert (p[len(want) :] == 0).all()
        assert p.sum() + q == pytest.approx(1)


def test_scores_of_any_size_give_numbers():
    found, none = Calibration(1e-3, 9e5).probabilities(np.array([[1e6, -1e6]]))
    assert (found.tolist(), none.tolist()) == ([[1.0, 0.0]], [0.0])


def test_behind_the_candidates_no_probability_is_shared_out():
    scores = np.arange(100.0, 0, -1).tolist()
    p, none = Calibration(10.0, 50.0).of_best(scores)
    assert len(p) == CANDIDATES
    assert sum(p) + none == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_and_nil_score_is_likelier(seed):
    scores, gold, _ = drawn(seed)
    scores[:100, 3:] = -np.inf  # a small knowledge base
    inside = np.array([g in own for g, own in zip(gold, scores, strict=True)])
    outside = ~np.isnan(gold) & ~inside
    assert outside.any()
    found = fit(scores, gold, outside)
    best = likelihood(scores, gold, outside, found.temperature, found.nil)
    for t in (0.99, 1.01):
        for n in (-0.02, 0.0, 0.02):
            other = likelihood(scores, gold, outside, found.temperature * t, found.nil + n)
            assert other < best


def test_the_course_that_made_the_data_is_found_again():
    found = fit(*drawn(0, m=5000))
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    assert found.nil == pytest.approx(3.0, abs=0.3)


def test_a_level_that_all_scores_share_moves_the_nil_score_alone():
    scores, gold, outside = drawn(1)
    one, other = fit(scores, gold, outside), fit(scores + 1000, gold + 1000, outside)
    assert other.temperature == pytest.approx(one.temperature, rel=1e-5)
    assert other.nil - 1000 == pytest.approx(one.nil, abs=1e-3)
    assert fit(scores, gold, outside) == one  # the same bits


def test_without_nil_mentions_only_the_temperature_is_fitted():
    scores, gold, outside = drawn(2)
    linked = ~np.isnan(gold)
    found = fit(scores[linked], gold[linked], outside[linked])
    assert found.nil is None
    best = likelihood(scores[linked], gold[linked], outside[linked], found.temperature, None)
    for t in (0.98, 1.02):
        args = scores[linked], gold[linked], outside[linked], found.temperature * t, None
        assert likelihood(*args) < best


def test_without_a_mention_that_has_an_entity_there_is_no_calibration():
    assert fit(np.ones((3, 2)), np.full(3, np.nan), np.zeros(3, bool)) is None
    assert fit(np.ones((0, 2)), np.zeros(0), np.zeros(0, bool)) is None


def test_where_all_is_right_the_temperature_stays_within_its_bounds():
    scores = np.tile([10.0, 0.0], (20, 1))
    found = fit(scores, scores[:, 0], np.zeros(20, bool))
    assert 10 * SPREADS[0] <= found.temperature < 1
    alike = fit(np.ones((4, 2)), np.ones(4), np.zeros(4, bool))  # no distance at all
    assert math.isfinite(alike.temperature)


answers = st.lists(
    st.tuples(st.integers(0, 20).map(lambda x: x / 20), st.booleans()), min_size=0, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(answers, st.sampled_from([0.5, 0.8, 0.95]))
def test_the_threshold_is_the_smallest_that_reaches_the_precision(pairs, precision):
    p = np.array([x for x, _ in pairs])
    right = np.array([y for _, y in pairs], bool)
    want = None
    for t in sorted({*p.tolist()}, reverse=True):
        accepted = right[p >= t]
        if len(accepted) >= 1 / (1 - precision) - 1e-9 and accepted.mean() >= precision - 1e-9:
            want = t
    assert threshold_of(p, right, precision) == want
