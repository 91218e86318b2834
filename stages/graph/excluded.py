"""Pairs that cannot be neighbors, whatever their similarity."""

import numpy as np


class Excluded:
    """A mention with itself, and two mentions that carry the very same picture.

    Args:
        pictures: of queries (m,) and of keys (n,), -1 for none; None excludes no pair by its
            picture.
        same: queries are the keys.
    """

    def __init__(self, pictures: tuple[np.ndarray, np.ndarray] | None, same: bool) -> None:
        self.same = same
        self.pictures = pictures
        if pictures is not None:
            self.order = np.argsort(pictures[1], kind="stable")
            self.sorted = pictures[1][self.order]

    def drop(self, rows: slice, scores: np.ndarray) -> None:
        """Set the scores of excluded pairs to -inf; `scores (p, n)`: those of `rows`, in place."""
        if self.same:
            scores[np.arange(len(scores)), np.arange(rows.start, rows.stop)] = -np.inf
        if self.pictures is not None:
            own = self.pictures[0][rows]
            low = np.searchsorted(self.sorted, own, side="left")
            high = np.searchsorted(self.sorted, own, side="right")
            for row in np.flatnonzero((own >= 0) & (high > low)):
                scores[row, self.order[low[row] : high[row]]] = -np.inf

    def allows(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Which of the pairs (i, j), of j's shape, are not excluded."""
        allowed: np.ndarray = i != j if self.same else np.ones(j.shape, bool)
        if self.pictures is not None:
            own, other = self.pictures[0][i], self.pictures[1][j]
            allowed = allowed & ((own < 0) | (own != other))
        return allowed
