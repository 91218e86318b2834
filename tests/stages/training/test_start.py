"""The start's weights are the likeliest ones, found by another route; what fitting them does."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from stages.config import EvaluateConfig
from stages.ranking.best import BestScores
from stages.ranking.rank import rank_gold
from stages.training import start as module
from stages.training.start import LARGEST, fit_start, likeliest
from stages.training.train import train
from tests.support.small_runs import CPU, run_data, short_run, small

NAMES = ("text", "frozen", "ngrams")
SCALES = ("frozen", "ngrams")


def best_of(m=300, k=12, seed=0, missing=True):
    """Gold entities drawn with the odds of weights 3 and 0.5 of the two terms, of two units."""
    random = np.random.default_rng(seed)
    terms = random.normal(size=(m, k, 3)).astype("f4")
    z = (terms[..., 0] + 3 * terms[..., 1] + 0.5 * terms[..., 2]) / 2
    z += random.gumbel(size=z.shape)
    place = z.argmax(1)
    entities = np.array([random.permutation(50)[:k] for _ in range(m)])
    gold = entities[np.arange(m), place]
    scores = terms.sum(2).astype("f8") / 2
    if missing:
        gold[:5] = 99  # not in their lists
        scores[-5:, -1], entities[-5:, -1], terms[-5:, -1] = -np.inf, -1, 0
        gold[-5:] = entities[-5:, 0]
    return BestScores(scores, entities, terms, NAMES), gold


def plainly(best, gold):
    """Minimised without a gradient, mention by mention."""

    def loss(theta):
        total = 0.5 * module.RIDGE * float(theta @ theta)
        for scores, entities, terms, own in zip(
            best.scores, best.entities, best.terms, gold, strict=True
        ):
            there = np.isfinite(scores)
            if own not in entities[there]:
                continue
            w = np.array([1.0, *np.exp(theta)])
            z = (terms[there].astype(float) @ w) / 2
            total -= z[entities[there] == own][0] - np.log(np.exp(z).sum())
        return total

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6}).x
    return np.exp(found)


def test_the_factors_are_those_of_a_plain_search():
    best, gold = best_of()
    found = likeliest(best, gold, SCALES, 2)
    assert list(found) == list(SCALES)
    assert list(found.values()) == pytest.approx(plainly(best, gold).tolist(), rel=1e-3)


def test_many_mentions_tell_the_weights_that_drew_them():
    best, gold = best_of(20_000, missing=False)
    assert likeliest(best, gold, SCALES, 2) == pytest.approx({"frozen": 3, "ngrams": 0.5}, rel=0.1)


def test_where_nothing_is_said_the_settings_stay():
    best, gold = best_of(20)
    nobody = np.full_like(gold, 77)
    assert likeliest(best, nobody, SCALES, 2) == dict.fromkeys(SCALES, 1.0)
    alike = BestScores(best.scores, best.entities, np.ones_like(best.terms), NAMES)
    assert likeliest(alike, gold, SCALES, 2) == pytest.approx(dict.fromkeys(SCALES, 1.0))


def test_what_is_right_always_has_a_bound():
    best, _ = best_of(400, missing=False)
    gold = best.entities[np.arange(400), best.terms[..., 1].argmax(1)]
    found = likeliest(best, gold, SCALES, 2)
    assert 3 < found["frozen"] <= np.exp(LARGEST)


HEADS = {"units": ("text", "lexical"), "contained_scale": 3.0, "frozen_scale": 10.0}


def test_the_heads_get_the_factors(opened):
    data, heads = run_data(opened, small(**HEADS), "mimic")
    torch.manual_seed(0)
    model = heads.entry.build(heads)
    before = {n: float(s.parameter.exp().detach()) for n, s in model.matcher.scales.items()}
    assert before == pytest.approx({"frozen": 10, "ngrams": heads.lexical_scale, "contained": 3})
    factors = fit_start(model, data, np.arange(48), EvaluateConfig())
    after = {n: float(s.parameter.exp().detach()) for n, s in model.matcher.scales.items()}
    assert any(abs(factor - 1) > 0.05 for factor in factors.values())
    for name, factor in factors.items():
        assert after[name] == pytest.approx(before[name] * factor, rel=1e-5)


def test_the_fitted_start_is_epoch_0_and_resumes(opened, tmp_path):
    with_start, data, heads = short_run(opened, tmp_path / "a", "mimic", fit_start=True, **HEADS)
    torch.manual_seed(0)
    model = heads.entry.build(heads)
    fit_start(model, data, np.arange(48), EvaluateConfig())
    rows = np.arange(12)
    ranks = rank_gold(
        model, data.inputs, data.views, "valid", rows, data.gold["valid"], EvaluateConfig()
    )
    assert with_start.history[0]["valid_mrr"] == pytest.approx((1 / ranks).mean())

    def killed(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    config = small(fit_start=True, **HEADS)
    for on_epoch in (killed, None):
        try:
            again = train(data, heads, config, EvaluateConfig(), 0, tmp_path / "b", on_epoch)
        except KeyboardInterrupt:
            continue
    assert again.history == with_start.history
    assert all(w.equal(again.state[name]) for name, w in with_start.state.items())


def test_heads_without_such_terms_start_as_they_are(opened):
    data, heads = run_data(opened, small(units=("cross",)), "mimic")
    model = heads.entry.build(heads).to(CPU)
    assert fit_start(model, data, np.arange(48), EvaluateConfig()) == {}
    data, heads = run_data(opened, small(), "bert")
    assert fit_start(heads.entry.build(heads), data, np.arange(48), EvaluateConfig()) == {}
