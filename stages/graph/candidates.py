"""Which pairs can be neighbors at all: one float32 product a block, with a proven margin.

A matrix product gives a score that grows with the affinity and differs from its exact value by at
most `margin`. So every true neighbor is among the candidates, and the exact affinities of these
few decide (`weigher.py`).
"""

from dataclasses import dataclass

import numpy as np

from stages.graph.distances import row_sums
from stages.graph.similarity import Metric, lengths

GROUPS = 512
"""Columns to which a row is folded before its k-th best is searched."""


@dataclass(frozen=True)
class CandidateScores:
    """score(i, j) = left_i · right_j.

    left, right: float32 (m, d') of the queries and (n, d') of the keys.
    least: float32 (m,); a pair whose score does not exceed it lies at or below the floor.
    margin: float32 (m,); bounds the error of row i's scores.
    """

    left: np.ndarray
    right: np.ndarray
    least: np.ndarray
    margin: np.ndarray

    def candidates(self, rows: slice, scores: np.ndarray, k: int | None) -> np.ndarray:
        """Flat indices into `scores (p, n)`, the scores of `rows`, that may be among the k best."""
        least = self.least[rows]
        if k is not None and k < scores.shape[1]:
            least = np.maximum(least, kth_best_bound(scores, k) - 2 * self.margin[rows])
        return np.flatnonzero(scores > least[:, None])


def candidate_scores(
    metric: Metric, queries: np.ndarray, keys: np.ndarray, floor: float
) -> CandidateScores:
    """Scores of `queries (m, d)` against `keys (n, d)`.

    For distances the origin moves to the keys' mean, and the score is q · k - |k|²/2, which equals
    (|q|² - d²) / 2; an added column computes it within the product.
    """
    # Slightly below the floor: similarities are compared after rounding to float32.
    bound = metric.affinity_at(floor * (1 - 1e-6))
    if metric.geometry == "distance":
        centre = keys.mean(axis=0, dtype=np.float64) if len(keys) else 0.0
        k = keys - centre
        q = k if queries is keys else queries - centre
        k_square = row_sums(k * k)
        q_square = k_square if queries is keys else row_sums(q * q)
        left, right = with_column(q, 1.0), with_column(k, -k_square / 2)
        largest = float(np.sqrt(k_square.max(initial=0)))
        size = (np.sqrt(q_square) + largest) ** 2
        least = (bound + q_square) / 2
    elif metric.geometry == "direction":
        left, right = unit(queries), unit(keys)
        size = np.ones(len(queries))
        least = np.full(len(queries), bound)
    else:
        left, right = queries, keys
        size = lengths(queries) * lengths(keys).max(initial=0)
        least = np.full(len(queries), bound)
    # A sum of d float32 products is off by at most d · 2^-24 of Σ|q_k||k_k| ≤ |q||k| in any order
    # of summation; twice that covers the rounding of the factors and of the bound as well.
    d = left.shape[1]
    margin = (d + 16) * 2.0**-23 * size + d * np.finfo(np.float32).tiny
    parts = (left, right, least - margin, margin)
    return CandidateScores(*(part.astype(np.float32, copy=False) for part in parts))


def with_column(x: np.ndarray, column: np.ndarray | float) -> np.ndarray:
    """[x | column] of `x (n, d)`, float32 (n, d + 1)."""
    joined = np.empty((len(x), x.shape[1] + 1), np.float32)
    joined[:, :-1], joined[:, -1] = x, column
    return joined


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of `x (n, d)` scaled to length 1, float64; zero rows stay zero."""
    length = lengths(x)[:, None]
    scaled: np.ndarray = x / np.where(length > 0, length, 1)
    return scaled


def kth_best_bound(scores: np.ndarray, k: int) -> np.ndarray:
    """A value that at least k entries of each row of `scores (p, n)` reach, `(p,)`.

    It is the k-th best among the maxima of disjoint groups: far cheaper than the k-th best of the
    row, and seldom more than a few places below it.
    """
    groups = max(GROUPS, 16 * k)
    width = scores.shape[1] // groups
    if width > 1:
        folded = scores[:, : width * groups].reshape(len(scores), width, groups)
        scores = folded.max(axis=1)
    place = scores.shape[1] - k
    bound: np.ndarray = np.partition(scores, place, axis=1)[:, place]
    return bound
