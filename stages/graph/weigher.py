"""Which candidates become neighbors, and with which weights: exact, pair by pair."""

from dataclasses import dataclass

import numpy as np

from stages.graph.distances import PAIRS
from stages.graph.similarity import Metric, affinities


@dataclass(frozen=True)
class Weigher:
    """Exact affinities and weights of candidates; the `k` best of a row stay (None keeps all)."""

    queries: np.ndarray
    keys: np.ndarray
    metric: Metric
    floor: float
    k: int | None

    def weigh(self, flat: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Neighbors among the candidates `flat`, each a row within `rows` × n + a column.

        Returns their number in each row (int64), then their columns (int32) and weights (float32),
        ordered by row and column.
        """
        i, j = np.divmod(flat, len(self.keys))
        affinity = self.affinity(rows.start + i, j)
        weight, above = self.above_floor(affinity)
        i, j, affinity, weight = i[above], j[above], affinity[above], weight[above]
        counts, best = self.best(np.bincount(i, minlength=rows.stop - rows.start), j, affinity)
        return counts, j[best].astype(np.int32), weight[best]

    def affinity(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Exact affinities of the pairs (i, j), float64 (pairs,)."""
        affinity = np.empty(len(i))
        for first in range(0, len(i), PAIRS):
            part = slice(first, first + PAIRS)
            affinity[part] = affinities(self.metric, self.queries[i[part]], self.keys[j[part]])
        return affinity

    def above_floor(self, affinity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights, float32 (pairs,), and which of them are stored, bool (pairs,)."""
        weight = self.metric.weigh(affinity).astype(np.float32)
        return weight, weight > np.float32(self.floor)  # float32, as τ compares

    def best(
        self, counts: np.ndarray, j: np.ndarray, affinity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best entries of consecutive rows of `counts` entries each.

        Returns how many of each row stay, and which entries these are, bool.
        """
        stays = np.ones(len(j), bool)
        if self.k is None:
            return counts, stays
        long = counts > self.k
        entries = np.flatnonzero(np.repeat(long, counts))
        lengths = counts[long]
        row = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((j[entries], -affinity[entries], row))
        place = np.arange(len(entries)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        stays[entries[order[place >= self.k]]] = False
        return np.minimum(counts, self.k), stays
