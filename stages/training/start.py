"""What heads start as: the likeliest sum of the cached similarities that they hold.

Names, shares of names, frozen cosines and priors are weighed by one number each before anything is
learned. The numbers w are those under which the gold entities of some training mentions are
likeliest among each mention's best,

    max_w Σ_m log softmax_c(Σ_t w_t s_t(m, c))_gold - ρ/2 |log w - log w_0|²

which is concave in w but for the ridge: that keeps the w_0 of the settings where the mentions say
nothing. Solved by L-BFGS in log w, so that no similarity counts against a candidate.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from scipy.special import logsumexp

from stages.config import EvaluateConfig
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.heads.units.unit import Scale
from stages.ranking.best import BestScores, best_scores
from stages.ranking.rank import Wanted

log = logging.getLogger(__name__)

MENTIONS, CANDIDATES = 1024, 64
"""Of training, and of the knowledge base for each."""
RIDGE = 1.0
"""ρ: as much as a mention or two."""
LARGEST = 4.0
"""Of |log w - log w_0|."""


def fit_start(
    model: Heads[Any, Any], data: LinkingData, rows: np.ndarray, config: EvaluateConfig
) -> dict[str, float]:
    """Set the scales of `model`; returns what each was multiplied by.

    Args:
        rows: training mentions.
    """
    scales = scales_of(model)
    if not scales or not len(rows):
        return {}
    wanted = [Wanted("train", rows, data.gold["train"][rows])]
    (best,) = best_scores(model, data.inputs, data.views, wanted, CANDIDATES, config)
    units = len(model.config.units)
    factors = likeliest(best, wanted[0].gold, tuple(scales), units)
    for name, factor in factors.items():
        scales[name].multiply(factor)
    shown = ", ".join(f"{name} {factor:.2f}" for name, factor in factors.items())
    log.info("the start, fitted to %d training mentions: %s times as set", len(rows), shown)
    return factors


def scales_of(model: Heads[Any, Any]) -> dict[str, Scale]:
    """What a start is fitted in; nothing of baselines, whose matchers have no such terms."""
    found: dict[str, Scale] = getattr(model.matcher, "scales", {})
    return found


def likeliest(
    best: BestScores, gold: np.ndarray, names: tuple[str, ...], units: int
) -> dict[str, float]:
    """What to multiply each named term by.

    Args:
        best: with the terms as they are weighed now; gold: rows of the knowledge base, (m,).
        units: whose mean the scores are.
    """
    from scipy.optimize import minimize  # not above: who links imports this, and fits no start

    at = [best.names.index(name) for name in names]
    own = (best.entities == gold[:, None]) & (best.entities >= 0)
    kept = own.any(1)
    terms = best.terms[kept].astype(np.float64)
    there = best.entities[kept] >= 0
    place, x = own[kept].argmax(1), terms[..., at]
    rest = terms.sum(2) - x.sum(2)
    if not len(x):
        return dict.fromkeys(names, 1.0)
    each = np.arange(len(x))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        w = np.exp(theta)
        z = np.where(there, (rest + x @ w) / units, -np.inf)
        whole = logsumexp(z, axis=1)
        p = np.exp(z - whole[:, None])
        by_w = ((p[..., None] * x).sum(1) - x[each, place]).sum(0) / units
        value = (whole - z[each, place]).sum() + RIDGE / 2 * (theta @ theta)
        return float(value), by_w * w + RIDGE * theta

    found = minimize(
        loss, np.zeros(len(names)), jac=True, bounds=[(-LARGEST, LARGEST)] * len(names),
        method="L-BFGS-B",
    ).x  # fmt: skip
    return {name: float(np.exp(theta)) for name, theta in zip(names, found, strict=True)}
