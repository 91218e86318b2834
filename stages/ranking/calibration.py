"""Probabilities of a mention's best entities, and of none of them (nil).

    p(e) = exp(S_e / T) / (exp(z) + Σ_c exp(S_c / T))      p(nil) = exp(z) / (the same)
    z = ν + ω_1 S_1 + ω_2 S̄

The sum runs over the CANDIDATES best entities c; S_1 is the best one's score and S̄ their mean. The
level of all scores is each mention's own, since nothing in training ties it down: a constant z
tells mentions without an entity much worse. T and z are those under which what is answered on
validation is likeliest: that the best entity is right, that the mention has none, or neither. (The
likelihood of the gold entity, wherever it ranks, spends T on telling apart what is not answered,
and leaves the best one too sure of itself.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

CANDIDATES = 64
SPREADS = (1e-2, 1e2)
"""T lies within these multiples of the mean distance of the best score from the last one: where
every mention of validation is right by far, no lowest T is the likeliest."""
RIDGE = 1e-4
"""Of the weights of z, each in units of that distance, against a single mention: it decides only
where a few mentions could be told apart without any error, and the weights would have no bound."""


@dataclass(frozen=True)
class Calibration:
    """Args:
    temperature: T.
    nil: ν, ω_1 and ω_2; None where validation had no mention without an entity, whose probability
        is then 0.
    """

    temperature: float
    nil: tuple[float, float, float] | None

    def probabilities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of candidates and of nil.

        Args:
            scores: of the CANDIDATES best, best first, -inf where there are fewer, shape: (m, k).

        Returns:
            float64 (m, k) and (m,); a row and its nil sum to 1.
        """
        scores = np.asarray(scores, np.float64)
        nil = np.full(len(scores), -np.inf)
        if self.nil is not None:
            nil = _levels(scores) @ np.array(self.nil)
        logits = np.concatenate([scores / self.temperature, nil[:, None]], axis=1)
        found = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return found[:, :-1], found[:, -1]

    def of_best(self, scores: Sequence[float]) -> tuple[list[float], float]:
        """Of one mention's candidates, best first, and of nil."""
        p, nil = self.probabilities(np.array([scores[:CANDIDATES]]))
        return p[0].tolist(), float(nil[0])


def fit(scores: np.ndarray, right: np.ndarray, linked: np.ndarray) -> Calibration | None:
    """The likeliest calibration of m mentions; None where none of them has an entity.

    Args:
        scores: of the candidates, best first, -inf where there are fewer, shape: (m, k).
        right: whether the best entity is the mention's own, bool (m,).
        linked: whether the mention has an entity, bool (m,).
    """
    # Here and not above: it takes a tenth of the imports of who links, and links need none of it.
    from scipy.optimize import minimize

    if not linked.any():
        return None
    centre = float(scores[:, 0].mean())
    there = np.isfinite(scores)
    last = np.where(there, scores, np.inf).min(1)
    spread = float((scores[:, 0] - last).mean()) or 1.0
    x = np.where(there, scores - centre, -np.inf) / spread
    with_nil = not linked.all()
    # What came true: the best entity, nil, or one of the other candidates. Shape: (m, k + 1).
    true = np.zeros((len(x), x.shape[1] + 1), bool)
    true[:, 0], true[:, -1] = right, ~linked
    true[:, 1:-1] = (linked & ~right)[:, None] & there[:, 1:]
    levels = _levels(x)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean of -log p of what came true, with its gradient; theta = (log(spread / T), z's)."""
        a, weights = np.exp(theta[0]), theta[1:]
        nil = levels @ weights if with_nil else np.full(len(x), -np.inf)
        logits = np.concatenate([a * x, nil[:, None]], axis=1)
        whole = logsumexp(logits, axis=1)
        came = logsumexp(np.where(true, logits, -np.inf), axis=1)
        p = np.exp(logits - whole[:, None])
        among = np.where(true, np.exp(logits - came[:, None]), 0)
        by_logit = p - among
        by_a = a * (by_logit[:, :-1] * np.where(there, x, 0)).sum(1)
        by_nil = by_logit[:, -1:] * levels if with_nil else np.zeros((len(x), 0))
        gradient = np.concatenate([by_a[:, None], by_nil], axis=1).mean(0)
        gradient[1:] += RIDGE * weights / len(x)
        return float((whole - came).mean() + RIDGE / 2 * (weights @ weights) / len(x)), gradient

    start = np.zeros(1 + with_nil * levels.shape[1])
    bounds = [(-np.log(SPREADS[1]), -np.log(SPREADS[0])), *[(-1e3, 1e3)] * (len(start) - 1)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B",
                     options={"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000}).x  # fmt: skip
    temperature = spread / float(np.exp(found[0]))
    if not with_nil:
        return Calibration(temperature, None)
    bias, best, mean = found[1:].tolist()
    bias += centre / temperature - (best + mean) * centre / spread
    return Calibration(temperature, (bias, best / spread, mean / spread))


def threshold_of(probability: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The smallest probability of an answer from which on the answers reach a precision.

    Answers are accepted from the threshold on, and must reach it in two ways: by their share right
    and by their mean probability. The smallest threshold is picked out of many, and the share right
    alone picks one that was lucky. So that few prove nothing, there must be 1 / (1 - precision) of
    them: 20 for 95 %. None where there is no such threshold.

    Args:
        probability: of each mention's best entity, shape: (m,).
        right: whether it is the mention's own, bool (m,).
    """
    order = np.argsort(-probability, kind="stable")
    p = probability[order]
    accepted = np.arange(1, len(p) + 1)
    reached = np.minimum(np.cumsum(right[order]), np.cumsum(p)) >= precision * accepted - 1e-9
    last = np.append(p[1:] != p[:-1], True)  # equal ones are accepted together
    enough = accepted >= min(1 / max(1 - precision, 1e-9) - 1e-9, len(p) + 1)
    good = np.flatnonzero(last & enough & reached)
    return float(p[good[-1]]) if len(good) else None


def _levels(scores: np.ndarray) -> np.ndarray:
    """What z is made of: 1, the best score and the candidates' mean, (m, 3)."""
    there = np.isfinite(scores)
    mean = np.where(there, scores, 0).sum(1) / there.sum(1)
    return np.stack([np.ones(len(scores)), scores[:, 0], mean], axis=1)
