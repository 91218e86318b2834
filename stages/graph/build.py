"""Rows of the similarity matrix A, exact and sparse, one strip of rows at a time.

A strip's scores cost block_rows × n floats, the rest grows with the edges. The matrix product, or
an index, only proposes candidates; each kept value is computed from its own two rows in float64, so
the result does not depend on the block size, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from stages.allocator import keep_freed_memory
from stages.graph.candidates import Scores, make_scores
from stages.graph.cells import CellIndex
from stages.graph.distances import PAIRS, GraphError, check_features
from stages.graph.similarity import Metric, affinities
from stages.graph.triangle import both_ways, few_above

PIECE = 64
"""Rows whose candidates are weighed at once; bounds memory where all mentions are alike."""


def build_rows(
    queries: np.ndarray,
    keys: np.ndarray,
    metric: Metric,
    floor: float,
    max_neighbors: int | None,
    block_rows: int = 1024,
    exclude: tuple[np.ndarray, np.ndarray] | None = None,
    same: bool = False,
    index: CellIndex | None = None,
) -> sp.csr_array:
    """Similarities of `queries (m, d)` to `keys (n, d)` -> CSR `(m, n)`, float32, int32 indices.

    Kept: similarities strictly above `floor` (both as float32), the `max_neighbors` of highest
    affinity a row, ties to the lower index.

    Parameters
    ----------
    max_neighbors: None keeps all; a row's own mention is not counted.
    exclude: pictures of queries (m,) and of keys (n,); a pair with the same one, -1 aside, is left
        out and takes no neighbour's place.
    same: queries are the keys. The result is symmetric, an edge being kept when both ends have it
        among their max_neighbors, with a diagonal of 1 (by definition, whatever the metric).
    index: of these keys and this metric; its cells are searched in place of all pairs, and what
        they miss is missing.

    Raises
    ------
    GraphError: features that are no finite matrix, or shapes that do not fit.
    """
    # A piece's arrays come and go by the thousand: given back to the system and faulted in again
    # each time, they cost a quarter of the whole.
    keep_freed_memory()
    queries = check_features(queries, "queries")
    keys = queries if same else check_features(keys, "keys")
    if queries.shape[1] != keys.shape[1]:
        raise GraphError(
            f"queries have {queries.shape[1]} features, keys {keys.shape[1]}",
            "both must come from one store: run python -m pipeline.extract --dataset NAME",
        )
    if not len(queries) or not len(keys):
        return sp.csr_array((len(queries), len(keys)), dtype=np.float32)

    masks = None if exclude is None else SamePicture(*exclude, same)
    k = max_neighbors
    weigher = Weigher(queries, keys, metric, floor, k)
    if index is not None:

        def allowed(i: np.ndarray, j: np.ndarray) -> np.ndarray:
            other = np.broadcast_to(True, j.shape) if masks is None else ~masks.shared(i, j)
            return other & (i != j) if same else other

        found = index.candidates(queries, floor, k, allowed)
        parts = [weigher.weigh(flat, rows) for rows, flat in found]
    else:
        scores = make_scores(metric, queries, keys, floor)
        if same and few_above(scores):
            parts = [both_ways(scores, weigher, block_rows, masks)]
        else:
            found = all_pairs(scores, k, block_rows, masks, same)
            parts = [weigher.weigh(flat, rows) for rows, flat in found]
    counts, columns, values = zip(*parts, strict=True)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    if indptr[-1] > np.iinfo(np.int32).max:
        raise GraphError(f"{indptr[-1]} edges: more than int32 counts", "raise graph.floor")
    directed = sp.csr_array(
        (np.concatenate(values), np.concatenate(columns), indptr.astype(np.int32)),
        shape=(len(queries), len(keys)),
    )
    return mutual(directed) if same else directed


def all_pairs(
    scores: Scores, k: int | None, block_rows: int, masks: SamePicture | None, same: bool
) -> Iterator[tuple[slice, np.ndarray]]:
    """Candidates of the queries out of every pair, PIECE rows at a time: (rows, flat)."""
    m, n = len(scores.left), len(scores.right)
    buffer = np.empty((min(block_rows, m), n), np.float32)
    for start in range(0, m, block_rows):
        stop = min(start + block_rows, m)
        strip = np.matmul(scores.left[start:stop], scores.right.T, out=buffer[: stop - start])
        for first in range(start, stop, PIECE):
            rows = slice(first, min(first + PIECE, stop))
            piece = strip[first - start : rows.stop - start]
            if same:
                piece[np.arange(len(piece)), np.arange(rows.start, rows.stop)] = -np.inf
            if masks is not None:
                masks.apply(rows, piece)
            yield rows, scores.candidates(rows, piece, k)


@dataclass(frozen=True)
class Weigher:
    """Turns a block of scores into neighbours with their exact weights; `k`: the most a row."""

    queries: np.ndarray
    keys: np.ndarray
    metric: Metric
    floor: float
    k: int | None

    def weigh(self, flat: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the candidates `flat` (row of `rows` × n + column), those that stay.

        Returns their number a row, then columns (int32) and weights (float32) by row and column.
        """
        i, j = np.divmod(flat, len(self.keys))
        affinity = self.affinity(rows.start + i, j)
        weight, above = self.above_floor(affinity)
        i, j, affinity, weight = i[above], j[above], affinity[above], weight[above]
        counts, best = self.best(np.bincount(i, minlength=rows.stop - rows.start), j, affinity)
        return counts, j[best].astype(np.int32), weight[best]

    def affinity(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Exact affinities of the pairs (i, j): float64 (pairs,)."""
        affinity = np.empty(len(i))
        for first in range(0, len(i), PAIRS):
            part = slice(first, first + PAIRS)
            affinity[part] = affinities(self.metric, self.queries[i[part]], self.keys[j[part]])
        return affinity

    def above_floor(self, affinity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights, float32, and which of them are stored."""
        weight = self.metric.weigh(affinity).astype(np.float32)
        return weight, weight > np.float32(self.floor)  # as τ compares: what is stored survives

    def best(
        self, counts: np.ndarray, j: np.ndarray, affinity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of rows of `counts` entries, one after the other: at most k each, and which entries."""
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


def mutual(directed: sp.csr_array) -> sp.csr_array:
    """Edges that both ends keep, with a unit diagonal; `directed (n, n)` has no diagonal.

    Both directions of a pair hold the same bits, and a missing entry counts as 0 in the minimum.
    """
    both = directed.minimum(directed.T.tocsr())
    graph = sp.csr_array(both + sp.eye_array(len(directed.indptr) - 1, dtype=np.float32))
    graph.sort_indices()
    return graph


class SamePicture:
    """Pairs that carry the very same picture."""

    def __init__(self, queries: np.ndarray, keys: np.ndarray, same: bool) -> None:
        self.queries = np.asarray(queries)
        self.keys = self.queries if same else np.asarray(keys)
        self.order = np.argsort(self.keys, kind="stable")
        self.sorted = self.keys[self.order]

    def apply(self, rows: slice, piece: np.ndarray) -> None:
        """Their scores become -inf; `piece (p, n)`: those of `rows`, changed in place."""
        pictures = self.queries[rows]
        low = np.searchsorted(self.sorted, pictures, side="left")
        high = np.searchsorted(self.sorted, pictures, side="right")
        for row in np.flatnonzero((pictures >= 0) & (high > low)):
            piece[row, self.order[low[row] : high[row]]] = -np.inf

    def shared(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Which of the pairs (i, j), of broadcast shape, they are."""
        pictures = self.queries[i]
        same: np.ndarray = (pictures >= 0) & (pictures == self.keys[j])
        return same
