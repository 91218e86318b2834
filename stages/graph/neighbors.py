"""The nearest training mentions of a mention, read off its row of the graph."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Neighbor:
    """A training mention, A_ij of eq. 3, and whether the GCN reads it (A_ij > τ)."""

    row: int
    weight: float
    read: bool


def nearest(adjacency: sp.csr_array, mention: int, train: int, tau: float) -> list[Neighbor]:
    """Stored neighbors of row `mention` among the first `train` columns, heaviest first.

    Args:
        adjacency: rows and columns of the training mentions, then those of a split.
    """
    row = adjacency[[mention]]
    of_train = row.indices < train
    columns, weights = row.indices[of_train], row.data[of_train]
    return [
        Neighbor(int(columns[i]), float(weights[i]), bool(weights[i] > tau))
        for i in np.lexsort((columns, -weights))
    ]
