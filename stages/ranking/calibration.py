"""Probabilities of a mention's best entities, and of none of them (nil).

    p(e) = exp(S_e / T) / (exp(n / T) + Σ_c exp(S_c / T))        p(nil) = exp(n / T) / (the same)

The sum runs over the CANDIDATES best entities c, and over the mention's own where it is none of
them. The temperature T and the score n of nil are those under which validation is likeliest: its
linked mentions by p(gold), those without an entity by p(nil). With a = 1 / T and b = n / T the
likelihood is that of a log-linear model, so it has one maximum and no course of steps decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

CANDIDATES = 64
SPREADS = (1e-2, 1e2)
"""T lies within these multiples of the mean distance of the best score from the last one: where
every mention of validation is right by far, no lowest T is the likeliest."""


@dataclass(frozen=True)
class Calibration:
    """Args:
    temperature: T.
    nil: n; None where validation had no mention without an entity, whose probability is then 0.
    """

    temperature: float
    nil: float | None

    def probabilities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of candidates and of nil.

        Args:
            scores: of the CANDIDATES best, -inf where there are fewer, shape: (m, k).

        Returns:
            float64 (m, k) and (m,); a row and its nil sum to 1.
        """
        nil = -np.inf if self.nil is None else self.nil / self.temperature
        logits = np.asarray(scores, np.float64) / self.temperature
        logits = np.concatenate([logits, np.full((len(logits), 1), nil)], axis=1)
        found = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return found[:, :-1], found[:, -1]

    def of_best(self, scores: Sequence[float]) -> tuple[list[float], float]:
        """Of one mention's candidates, best first, and of nil."""
        p, nil = self.probabilities(np.array([scores[:CANDIDATES]]))
        return p[0].tolist(), float(nil[0])


def fit(scores: np.ndarray, gold: np.ndarray, outside: np.ndarray) -> Calibration | None:
    """The likeliest calibration of m mentions; None where none of them has an entity.

    Args:
        scores: of the candidates, best first, -inf where there are fewer, shape: (m, k).
        gold: the score of each mention's own entity; NaN of one without, shape: (m,).
        outside: whether that entity is none of the candidates, bool (m,).
    """
    linked = ~np.isnan(gold)
    if not linked.any():
        return None
    # Its own score where it is none of them; else a column of nothing. Shape: (m, k + 1).
    extra = np.where(outside & linked, gold, -np.inf)
    wide = np.concatenate([scores, extra[:, None]], axis=1).astype(np.float64)
    there = np.isfinite(wide)
    centre = float(scores[:, 0].mean())
    last = np.where(np.isfinite(scores), scores, np.inf).min(1)
    spread = float((scores[:, 0] - last).mean()) or 1.0
    x = np.where(there, wide - centre, 0) / spread
    own = np.where(linked, gold - centre, 0) / spread
    with_nil = bool((~linked).any())

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean of -log p and its gradient; theta = (spread / T, (n - centre) / T)."""
        a, b = theta if with_nil else (theta[0], -np.inf)
        logits = np.where(there, a * x, -np.inf)
        logits = np.concatenate([logits, np.full((len(x), 1), b)], axis=1)
        total = logsumexp(logits, axis=1)
        p = np.exp(logits - total[:, None])
        chosen = np.where(linked, a * own, b if with_nil else 0)
        by_a = (p[:, :-1] * x).sum(1) - own
        by_b = p[:, -1] - ~linked
        gradient = np.array([by_a.mean(), by_b.mean()])[: len(theta)]
        return float((total - chosen).mean()), gradient

    start = np.array([1.0, 0.0])[: 1 + with_nil]
    bounds = [(1 / SPREADS[1], 1 / SPREADS[0]), (-1e3, 1e3)][: 1 + with_nil]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B",
                     options={"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000}).x  # fmt: skip
    temperature = spread / float(found[0])
    nil = centre + float(found[1]) * temperature if with_nil else None
    return Calibration(temperature, nil)


def threshold_of(probability: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The smallest probability of an answer from which on the answers reach a precision.

    Answers are accepted from the threshold on. So that a single lucky one proves nothing, there
    must be 1 / (1 - precision) of them: 20 for 95 %. None where no threshold has as many.

    Args:
        probability: of each mention's best entity, shape: (m,).
        right: whether it is the mention's own, bool (m,).
    """
    order = np.argsort(-probability, kind="stable")
    p, correct = probability[order], np.cumsum(right[order])
    accepted = np.arange(1, len(p) + 1)
    last = np.append(p[1:] != p[:-1], True)  # equal ones are accepted together
    enough = accepted >= min(1 / max(1 - precision, 1e-9) - 1e-9, len(p) + 1)
    good = np.flatnonzero(last & enough & (correct >= precision * accepted - 1e-9))
    return float(p[good[-1]]) if len(good) else None
