import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ranking.calibration import CANDIDATES, SPREADS, Calibration, fit, threshold_of


def plain(scores, temperature, nil):
    """p(e) of each score, and p(nil), written from the formula."""
    none = 0.0
    if nil is not None:
        bias, best, mean = nil
        none = math.exp(bias + best * scores[0] + mean * sum(scores) / len(scores))
    e = [math.exp(s / temperature) for s in scores]
    whole = none + sum(e)
    return [x / whole for x in e], none / whole


NIL = (1.0, -0.2, 0.5)


def drawn(seed, m=300, k=6, temperature=2.0, nil=NIL):
    """Mentions whose entity is drawn by the very probabilities: scores, right, linked."""
    random = np.random.default_rng(seed)
    level = random.normal(0, 2, (m, 1))  # each mention's own
    scores = level - np.sort(-random.normal(5, 3, (m, k)), axis=1)
    at = np.empty(m, int)
    for row, own in enumerate(scores.tolist()):
        p, none = plain(own, temperature, nil)
        at[row] = random.choice(k + 1, p=[*p, none])
    return scores, at == 0, at < k


def likelihood(scores, right, linked, calibration):
    """Of what is answered: the best entity is right, the mention has none, or neither."""
    total = 0.0
    for own, is_right, has_one in zip(scores.tolist(), right, linked, strict=True):
        own = [s for s in own if s > -math.inf]
        p, none = plain(own, calibration.temperature, calibration.nil)
        total += math.log(p[0] if is_right else sum(p[1:]) if has_one else none)
    return total


@pytest.mark.parametrize("nil", [None, NIL, (-3.0, 0.0, 0.0)])
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
    found, none = Calibration(1e-3, (0.0, 1.0, 0.0)).probabilities(np.array([[1e6, -1e6]]))
    assert (found.tolist(), none.tolist()) == ([[1.0, 0.0]], [0.0])


def test_behind_the_candidates_no_probability_is_shared_out():
    scores = np.arange(100.0, 0, -1).tolist()
    p, none = Calibration(10.0, (5.0, 0.0, 0.0)).of_best(scores)
    assert len(p) == CANDIDATES
    assert sum(p) + none == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_no_calibration_nearby_is_likelier(seed):
    scores, right, linked = drawn(seed)
    scores[:100, 3:] = -np.inf  # a small knowledge base
    found = fit(scores, right, linked)
    best = likelihood(scores, right, linked, found)
    bias, of_best, of_mean = found.nil
    for t in (0.99, 1.01):
        other = Calibration(found.temperature * t, found.nil)
        assert likelihood(scores, right, linked, other) < best
    for step in (-0.02, 0.02):
        for nil in (
            (bias + step, of_best, of_mean),
            (bias, of_best + step / 10, of_mean),
            (bias, of_best, of_mean + step / 10),
        ):
            assert likelihood(scores, right, linked, Calibration(found.temperature, nil)) < best


def test_the_calibration_that_made_the_data_is_found_again():
    found = fit(*drawn(0, m=8000))
    assert found.temperature == pytest.approx(2.0, rel=0.15)
    scores, _, _ = drawn(1)
    p, none = found.probabilities(scores)
    want, zero = Calibration(2.0, NIL).probabilities(scores)
    np.testing.assert_allclose(p[:, 0], want[:, 0], atol=0.05)
    np.testing.assert_allclose(none, zero, atol=0.05)


def test_a_level_that_all_scores_share_changes_no_probability():
    scores, right, linked = drawn(1)
    one, other = fit(scores, right, linked), fit(scores + 1000, right, linked)
    for a, b in zip(one.probabilities(scores), other.probabilities(scores + 1000), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert fit(scores, right, linked) == one  # the same bits


def test_without_nil_mentions_only_the_temperature_is_fitted():
    scores, right, linked = (part[drawn(2)[2]] for part in drawn(2))
    found = fit(scores, right, linked)
    assert found.nil is None
    best = likelihood(scores, right, linked, found)
    for t in (0.98, 1.02):
        other = Calibration(found.temperature * t, None)
        assert likelihood(scores, right, linked, other) < best


def test_without_a_mention_that_has_an_entity_there_is_no_calibration():
    nothing = np.zeros(3, bool)
    assert fit(np.ones((3, 2)), nothing, nothing) is None
    assert fit(np.ones((0, 2)), nothing[:0], nothing[:0]) is None


def test_what_leaves_no_doubt_gives_a_calibration_with_bounds():
    scores = np.tile([10.0, 0.0], (20, 1))
    sure = np.ones(20, bool)
    found = fit(scores, sure, sure)  # all right by far
    assert 10 * SPREADS[0] * (1 - 1e-9) <= found.temperature < 10
    alike = fit(np.ones((4, 2)), sure[:4], sure[:4])  # no distance at all
    assert math.isfinite(alike.temperature)
    one = fit(np.ones((4, 1)), sure[:4], sure[:4])  # a knowledge base of one entity
    assert one.probabilities(np.ones((1, 1)))[0].tolist() == [[1.0]]
    scores[10:] = [1.0, 0.0]
    told = fit(scores, sure & (scores[:, 0] > 5), scores[:, 0] > 5)  # nil without any error
    assert all(map(math.isfinite, (told.temperature, *told.nil)))
    p, none = told.probabilities(scores)
    assert (p[:10, 0] > 0.9).all()
    assert (none[10:] > 0.9).all()


answers = st.lists(
    st.tuples(st.integers(0, 20).map(lambda x: x / 20), st.booleans()), min_size=0, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(answers, st.sampled_from([0.5, 0.8, 0.95]))
def test_the_threshold_is_the_smallest_that_reaches_the_precision_in_both_ways(pairs, precision):
    p = np.array([x for x, _ in pairs])
    right = np.array([y for _, y in pairs], bool)
    want = None
    for t in sorted({*p.tolist()}, reverse=True):
        accepted, sure = right[p >= t], p[p >= t]
        enough = len(accepted) >= 1 / (1 - precision) - 1e-9
        if enough and min(accepted.mean(), sure.mean()) >= precision - 1e-9:
            want = t
    assert threshold_of(p, right, precision) == want


def test_the_precision_that_a_threshold_promises_is_kept_on_other_mentions():
    """Of answers that are as often right as they say, over many drawings; by the share right alone
    it would be 0.93, since the smallest threshold that reaches it was lucky."""
    random, kept, answered = np.random.default_rng(0), 0.0, 0
    for _ in range(200):
        p, other = random.beta(1.5, 1.2, (2, 443))
        threshold = threshold_of(p, random.uniform(size=p.shape) < p, 0.95)
        accepted = other >= (np.inf if threshold is None else threshold)
        kept, answered = kept + other[accepted].sum(), answered + accepted.sum()
    assert answered > 5000
    assert 0.945 < kept / answered < 0.965
