"""Distinct entities as the heads see them.

Entities with the same text, picture and names score the same for every mention: scored once, they
count as often as they occur, and their ties are exact whatever the rounding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from stages.features.cached import CachedFeatures
from stages.features.names import NameRows, Names


@dataclass(frozen=True)
class Views:
    """Representatives, in order of their text's row (so of its length).

    Args:
        rows: (views,) one entity of each view.
        counts: (views,) entities of each view.
        of_entity: (entities,) the view of each entity.
    """

    rows: np.ndarray
    counts: np.ndarray
    of_entity: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def members(self, view: int) -> np.ndarray:
        """The entities of a view, ascending."""
        order, firsts = self._grouped
        return order[firsts[view] : firsts[view + 1]]

    @cached_property
    def _grouped(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.of_entity, kind="stable")
        return order, np.concatenate([[0], np.cumsum(self.counts)])


def distinct_views(cached: CachedFeatures) -> Views:
    """Group the knowledge base by what the heads read of it: text, picture, record arrays, further
    encoders' texts and pictures."""
    texts = cached.text_rows["entities"]
    images = cached.image_rows["entities"] if cached.uses_images else np.zeros_like(texts)
    # The text holds the name, but names may differ past its cut.
    arrays = [_equal_rows(groups["entities"]) for groups in cached.arrays.values()]
    further = [one.rows["entities"] for one in cached.further]
    table = np.stack([texts, images, *arrays, *further], axis=1)
    _, rows, of_entity, counts = np.unique(
        table, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return Views(rows, counts, of_entity.reshape(-1))


def _equal_rows(array: Names | np.ndarray) -> np.ndarray:
    """A number for each row, the same for rows with the same entries; of entities with aliases, for
    those with the same name and the same aliases, in whatever order."""
    if not isinstance(array, NameRows):
        return _numbered(_entries(sp.csr_array(array)))
    names, offsets = _numbered(_entries(array.rows)), array.offsets
    first: np.ndarray = names[offsets[:-1]]
    found, more = first.copy(), dict[bytes, int]()
    for entity in np.flatnonzero(np.diff(offsets) > 1):
        aliases = np.unique(names[offsets[entity] : offsets[entity + 1]])
        if len(aliases) > 1:  # else it is the name again
            key = first[entity].tobytes() + aliases.tobytes()
            found[entity] = len(names) + more.setdefault(key, len(more))
    return found


def _entries(matrix: sp.csr_array) -> Iterator[bytes]:
    for lo, hi in pairwise(matrix.indptr):
        yield matrix.indices[lo:hi].tobytes() + matrix.data[lo:hi].tobytes()


def _numbered(keys: Iterable[bytes]) -> np.ndarray:
    """A number for each key, the same for equal ones."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
