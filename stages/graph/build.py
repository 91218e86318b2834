"""Rows of the similarity matrix A, exact and sparse, one strip of rows at a time.

A strip's scores take block_rows × n floats; everything else grows with the number of edges. The
matrix product, or an index, only proposes candidates. Each stored value is computed from its own
two rows in float64, so the result does not depend on the block size, to the bit.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from stages.allocator import keep_freed_memory
from stages.graph.candidates import CandidateScores, candidate_scores
from stages.graph.cells import CellIndex
from stages.graph.distances import GraphError, check_features, product
from stages.graph.excluded import Excluded
from stages.graph.similarity import Metric
from stages.graph.triangle import both_ways, few_above
from stages.graph.weigher import Weigher

PIECE = 64
"""Rows whose candidates are weighed at once; bounds memory where all mentions are alike."""


def build_rows(
    queries: np.ndarray, keys: np.ndarray, metric: Metric, floor: float, max_neighbors: int | None,
    block_rows: int = 1024, exclude: tuple[np.ndarray, np.ndarray] | None = None,
    same: bool = False, index: CellIndex | None = None,
) -> sp.csr_array:  # fmt: skip
    """Similarities of `queries (m, d)` to `keys (n, d)` -> CSR `(m, n)`, float32, int32 indices.

    Kept: similarities strictly above `floor` (both as float32), the `max_neighbors` of highest
    affinity a row, ties to the lower index.

    Args:
        max_neighbors: None keeps all; a row's own mention is not counted.
        exclude: pictures of queries (m,) and of keys (n,); a pair with the same one, -1 aside, is
            left out and takes no neighbor's place.
        same: queries are the keys. The result is symmetric, an edge being kept when both ends have
            it among their max_neighbors, with a diagonal of 1 (by definition, whatever the metric).
        index: of these keys and this metric; its cells are searched in place of all pairs, and what
            they miss is missing.

    Raises:
        GraphError: features that are no finite matrix, or shapes that do not fit.
    """
    # The arrays of one piece are freed by the thousand; returning them to the system and faulting
    # them in again would cost a quarter of the whole.
    keep_freed_memory()
    queries = check_features(queries, "queries")
    keys = queries if same else check_features(keys, "keys")
    if queries.shape[1] != keys.shape[1]:
        raise GraphError(
            f"queries have {queries.shape[1]} features, keys {keys.shape[1]}",
            "both must come from one store: run python -m pipeline.extract --dataset NAME",
        )
    if not len(queries) or not len(keys):
        return sp.csr_array(np.zeros((len(queries), len(keys)), np.float32))

    excluded = Excluded(exclude, same)
    k = max_neighbors
    weigher = Weigher(queries, keys, metric, floor, k)
    if index is not None:
        found = index.candidates(queries, floor, k, excluded.allows)
        parts = [weigher.weigh(flat, rows) for rows, flat in found]
    else:
        scores = candidate_scores(metric, queries, keys, floor)
        if same and few_above(scores):
            parts = [both_ways(scores, weigher, block_rows, excluded)]
        else:
            found = all_pairs(scores, k, block_rows, excluded)
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
    scores: CandidateScores, k: int | None, block_rows: int, excluded: Excluded
) -> Iterator[tuple[slice, np.ndarray]]:
    """Candidates of the queries out of every pair, PIECE rows at a time: (rows, flat)."""
    m, n = len(scores.left), len(scores.right)
    buffer = np.empty((min(block_rows, m), n), np.float32)
    for start in range(0, m, block_rows):
        stop = min(start + block_rows, m)
        strip = product(scores.left[start:stop], scores.right, buffer[: stop - start])
        for first in range(start, stop, PIECE):
            rows = slice(first, min(first + PIECE, stop))
            piece = strip[first - start : rows.stop - start]
            excluded.drop(rows, piece)
            yield rows, scores.candidates(rows, piece, k)


def mutual(directed: sp.csr_array) -> sp.csr_array:
    """Edges that both ends keep, with a unit diagonal; `directed (n, n)` has no diagonal.

    Both directions of a pair hold the same bits, and a missing entry counts as 0 in the minimum.
    """
    both = directed.minimum(directed.T.tocsr())
    graph = sp.csr_array(both + sp.eye_array(len(directed.indptr) - 1, dtype=np.float32))
    graph.sort_indices()
    return graph
