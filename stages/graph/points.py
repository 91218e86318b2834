"""Any metric as nearest neighbors in Euclidean space, which an index of cells can search.

For distances the origin moves to the keys' mean. Products become distances with one more
coordinate, after Bachrach et al. (2014): with M the longest key's norm,

    q' = (q, 0),   k' = (k, √(M² - |k|²)),   |q' - k'|² = |q|² + M² - 2 q · k

so the nearest point has the largest product. Directions are products of unit vectors, M = 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.graph.distances import row_sums
from stages.graph.similarity import Metric

ROWS = 8192
"""Rows converted to float64 at once."""


@dataclass(frozen=True)
class Frame:
    """The space in which given keys lie, and into which queries are mapped.

    centre: float64 (d,), the keys' mean for distances, zeros otherwise.
    longest: M, the longest key's norm.
    """

    metric: Metric
    centre: np.ndarray
    longest: float

    @classmethod
    def of(cls, metric: Metric, keys: np.ndarray) -> Frame:
        """The frame of `keys (n, d)`, n ≥ 1."""
        centre = np.zeros(keys.shape[1])
        if metric.geometry == "distance":
            centre = keys.mean(axis=0, dtype=np.float64)
        frame = cls(metric, centre, 0.0)
        longest = float(np.sqrt(max(square.max() for _, square in frame._moved(keys))))
        return cls(metric, centre, longest)

    def keys(self, x: np.ndarray) -> np.ndarray:
        """Points of the keys `x (n, d)`, float32 (n, d), or (n, d + 1) for products."""
        points = np.empty((len(x), self.width), np.float32)
        start = 0
        for moved, square in self._moved(x):
            rows = slice(start, start + len(moved))
            points[rows, : x.shape[1]] = moved
            if self.metric.geometry != "distance":
                points[rows, -1] = np.sqrt(np.maximum(self.longest**2 - square, 0))
            start = rows.stop
        return points

    def queries(self, x: np.ndarray, floor: float) -> Queries:
        """Points of the queries `x (m, d)`, and how far away a neighbor above `floor` can lie."""
        points = np.zeros((len(x), self.width), np.float32)
        square = np.empty(len(x))
        start = 0
        for moved, squares in self._moved(x):
            rows = slice(start, start + len(moved))
            points[rows, : x.shape[1]], square[rows] = moved, squares
            start = rows.stop
        # Slightly below the floor: similarities are compared after rounding to float32.
        bound = self.metric.affinity_at(floor * (1 - 1e-6))
        if self.metric.geometry == "distance":
            limit = np.full(len(x), -bound)
        else:
            limit = square + self.longest**2 - 2 * bound
        # As in candidates.py: a sum of d float32 terms is off by at most d · 2^-24 of its size, and
        # so are the points; a squared distance has twice the terms of a product.
        margin = (self.width + 16) * 2.0**-22 * (np.sqrt(square) + self.longest) ** 2
        margin += self.width * np.finfo(np.float32).tiny
        return Queries(points, limit + margin, margin)

    @property
    def width(self) -> int:
        return len(self.centre) + (self.metric.geometry != "distance")

    def _moved(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks of `x`, centred or scaled to length 1: float64 (b, d), with squared norms (b,)."""
        for start in range(0, len(x), ROWS):
            block = x[start : start + ROWS] - self.centre
            square = row_sums(block * block)
            if self.metric.geometry == "direction":
                block /= np.sqrt(np.where(square > 0, square, 1))[:, None]
                square = (square > 0).astype(np.float64)
            yield block, square


@dataclass(frozen=True)
class Queries:
    """Queries as points.

    points: float32 (m, width).
    limit: float64 (m,), the squared distance beyond which no neighbor passes the floor.
    margin: float64 (m,), bounds the error of a squared distance.
    """

    points: np.ndarray
    limit: np.ndarray
    margin: np.ndarray
