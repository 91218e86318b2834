"""The four similarities of Table 3, each mapped to [0, 1], as the floor and τ expect.

A metric has two parts. Its *affinity* is the exact quantity that ranks neighbors: −||x_i − x_j||²,
cos, or x_i · x_j, larger for closer pairs. `weigh`, which never decreases, maps an affinity to the
similarity that the graph stores. A mention's similarity to itself is 1 by definition, since `dot`
alone would not make it 1.

| metric    | affinity     | similarity                        | is 1 for                  |
|-----------|--------------|-----------------------------------|---------------------------|
| kernel    | -d²          | exp(-d² / (2b²))          (eq. 3) | equal points              |
| euclidean | -d²          | 1 / (1 + d / b)                   | equal points              |
| cosine    | cos          | max(0, cos)                       | equal directions          |
| dot       | x_i · x_j    | x_i · x_j / s², cut to [0, 1]     | two of the longest vectors|

b is the bandwidth, s² the largest squared norm in training, which by Cauchy-Schwarz no product of a
training pair exceeds. Negative cosines and products become 0; any τ ≥ 0 of eq. 4 would drop them.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.graph.distances import GraphError, row_sums, squared_distances

SCALES = 1e-100, 1e100
"""No float16 features lie so near or so far, and a double has the square of both."""

Geometry = Literal["distance", "direction", "product"]
"""What an affinity is computed from: differences, unit vectors, or the vectors themselves."""


@dataclass(frozen=True)
class Kernel:
    """sim = exp(-||x_i - x_j||² / (2b²)) (eq. 3)."""

    bandwidth: float
    geometry: Geometry = "distance"

    def weigh(self, affinity: np.ndarray) -> np.ndarray:
        similarity: np.ndarray = np.exp(affinity / (2 * self.bandwidth**2))
        return similarity

    def affinity_at(self, floor: float) -> float:
        return 2 * self.bandwidth**2 * math.log(floor) if floor > 0 else -math.inf


@dataclass(frozen=True)
class Euclidean:
    """sim = 1 / (1 + ||x_i - x_j|| / b)."""

    bandwidth: float
    geometry: Geometry = "distance"

    def weigh(self, affinity: np.ndarray) -> np.ndarray:
        similarity: np.ndarray = 1 / (1 + np.sqrt(-affinity) / self.bandwidth)
        return similarity

    def affinity_at(self, floor: float) -> float:
        return -((self.bandwidth * (1 / floor - 1)) ** 2) if floor > 0 else -math.inf


@dataclass(frozen=True)
class Cosine:
    """sim = max(0, x_i · x_j / (|x_i| |x_j|)); a zero vector is similar to nothing."""

    geometry: Geometry = "direction"

    def weigh(self, affinity: np.ndarray) -> np.ndarray:
        similarity: np.ndarray = np.clip(affinity, 0, 1)
        return similarity

    def affinity_at(self, floor: float) -> float:
        return floor


@dataclass(frozen=True)
class Dot:
    """sim = x_i · x_j / s², cut to [0, 1]; `scale` is s²."""

    scale: float
    geometry: Geometry = "product"

    def weigh(self, affinity: np.ndarray) -> np.ndarray:
        return np.clip(affinity / self.scale, 0, 1)

    def affinity_at(self, floor: float) -> float:
        return self.scale * floor


Metric = Kernel | Euclidean | Cosine | Dot


def make_metric(name: str, bandwidth: float, scale: float) -> Metric:
    """The metric of `GraphConfig.metric`.

    Args:
        bandwidth: b, of kernel and euclidean.
        scale: s², of dot.

    Raises:
        GraphError: the constant that the metric divides by is not positive, or beyond any feature.
    """
    needed = {"kernel": bandwidth, "euclidean": bandwidth, "cosine": 1.0, "dot": scale}[name]
    if not SCALES[0] < needed < SCALES[1]:
        raise GraphError(
            f"metric {name}: its scale is {needed:g}, expected a positive number that features "
            "can have",
            "check extract.text_encoder, then run python -m pipeline.extract --dataset NAME",
        )
    if name == "cosine":
        return Cosine()
    if name == "dot":
        return Dot(scale)
    return Kernel(bandwidth) if name == "kernel" else Euclidean(bandwidth)


def affinities(metric: Metric, x_i: np.ndarray, x_j: np.ndarray) -> np.ndarray:
    """Exact affinities of paired rows, `(c, d)` and `(c, d)` -> float64 `(c,)`.

    The bits of a pair depend neither on the order of the two nor on the block that it comes in.
    """
    if metric.geometry == "distance":
        return -squared_distances(x_i, x_j)
    dot = row_sums(np.multiply(x_i, x_j, dtype=np.float64))
    if metric.geometry == "product":
        return dot
    norms = lengths(x_i) * lengths(x_j)
    cosine: np.ndarray = np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)
    return cosine


def similarity(metric: Metric, x_i: np.ndarray, x_j: np.ndarray) -> np.ndarray:
    """sim(m_i, m_j) of paired rows, `(c, d)` and `(c, d)` -> float64 `(c,)` in [0, 1]."""
    return metric.weigh(affinities(metric, x_i, x_j))


def lengths(x: np.ndarray) -> np.ndarray:
    """|x_i| of each row, `(c, d)` -> float64 `(c,)`."""
    norms: np.ndarray = np.sqrt(row_sums(np.multiply(x, x, dtype=np.float64)))
    return norms
