"""Rows of entities that have several names, and what a mention makes of the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True, eq=False)
class NameRows:
    """Rows of the names of n entities, end to end: an entity's own name first, then its aliases.

    Args:
        rows: shape: (names, k).
        offsets: where each entity's names lie, int64, shape: (n + 1,); each has one at least.
    """

    rows: sp.csr_array
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """As of a matrix with a row an entity: (n, k)."""
        return len(self), self.rows.shape[1]

    def __getitem__(self, entities: np.ndarray) -> NameRows:
        """Some of the entities, by row."""
        first, count = self.offsets[entities], np.diff(self.offsets)[entities]
        offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        places = np.repeat(first - offsets[:-1], count) + np.arange(offsets[-1])
        return NameRows(self.rows[places], offsets)

    def check(self) -> None:
        """Raises ValueError unless every row belongs to one entity, and none has no name."""
        o = self.offsets
        ends = o.ndim == 1 and len(o) > 0 and (o[0], o[-1]) == (0, self.rows.shape[0])
        if o.dtype != np.int64 or not ends or not (o[1:] > o[:-1]).all():
            raise ValueError("names that belong to no entity, or an entity without a name")


Names = sp.csr_array | NameRows
"""A row an entity, shape: (n, k), or several where one has aliases."""


def own_names(names: Names) -> sp.csr_array:
    """The rows of the entities' own names, without aliases, shape: (n, k)."""
    return names.rows[names.offsets[:-1]] if isinstance(names, NameRows) else names


def best_products(mentions: sp.csr_array, entities: Names) -> np.ndarray:
    """The largest product of a mention's row with the rows of an entity's names, dense (m, n)."""
    if not isinstance(entities, NameRows):
        found: np.ndarray = (mentions @ entities.T).toarray()
        return found
    products = (mentions @ entities.rows.T).toarray()
    best: np.ndarray = np.maximum.reduceat(products, entities.offsets[:-1], axis=1)
    return best
