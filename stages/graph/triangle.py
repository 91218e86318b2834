"""The graph of mentions among themselves from half of the products: each pair i < j once.

A row then sees only part of its pairs at a time, so a bound on its k-th best score is of no use,
and the floor alone has to thin out the candidates. Where it leaves few (`few_above`), this route is
nearly twice as fast as whole rows; where it leaves many, whole rows are faster. The result is the
same to the bit.
"""

import numpy as np
import scipy.sparse as sp

from stages.graph.candidates import CandidateScores
from stages.graph.distances import product
from stages.graph.excluded import Excluded
from stages.graph.weigher import Weigher

SAMPLE = 64
"""Evenly spread rows whose candidates are counted beforehand."""
FEW = 128
"""Candidates a row, on average, up to which weighing them all costs less than the product."""
PIECE = 64
"""Rows scanned at once."""


def few_above(scores: CandidateScores) -> bool:
    """Whether the floor leaves few enough candidates; affects the speed alone."""
    rows = np.unique(np.linspace(0, len(scores.left) - 1, SAMPLE).astype(int))
    above = product(scores.left[rows], scores.right) > scores.least[rows, None]
    return bool(above.sum() <= FEW * len(rows))


def both_ways(
    scores: CandidateScores, weigher: Weigher, block_rows: int, excluded: Excluded
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `weigher.k` best of each row among all i ≠ j above the floor, as `Weigher.weigh`."""
    n = len(scores.left)
    buffer = np.empty(min(block_rows, n) * n, np.float32)
    first, second, affinities, weights = [], [], [], []
    for start in range(0, n, block_rows):
        stop = min(start + block_rows, n)
        strip = buffer[: (stop - start) * (n - start)].reshape(stop - start, n - start)
        product(scores.left[start:stop], scores.right[start:], strip)
        for top in range(start, stop, PIECE):
            i, j = candidates(scores, strip[top - start : top - start + PIECE], top, start)
            allowed = excluded.allows(i, j)
            i, j = i[allowed], j[allowed]
            affinity = weigher.affinity(i, j)
            weight, above = weigher.above_floor(affinity)
            first.append(i[above])
            second.append(j[above])
            affinities.append(affinity[above])
            weights.append(weight[above])
    i, j = np.concatenate(first), np.concatenate(second)
    # Sorts the pairs by row and column, both ways round: SciPy's conversion is a counting sort, and
    # the values it carries are the pairs' numbers from 1 (a stored 0 could be dropped).
    upper = sp.csr_array((np.arange(1, len(i) + 1), (i, j)), shape=(n, n))
    pairs = sp.csr_array(upper + upper.T)
    pairs.sort_indices()
    place = pairs.data - 1
    affinity, weight = np.concatenate(affinities)[place], np.concatenate(weights)[place]
    counts, best = weigher.best(np.diff(pairs.indptr), pairs.indices, affinity)
    return counts, pairs.indices[best].astype(np.int32, copy=False), weight[best]


def candidates(
    scores: CandidateScores, piece: np.ndarray, top: int, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i < j above the floor in `piece (p, n - start)`, of the rows from `top` on."""
    rows = slice(top, top + len(piece))
    i, j = np.divmod(np.flatnonzero(piece > scores.least[rows, None]), piece.shape[1])
    i, j = i + top, j + start
    upper = i < j
    return i[upper], j[upper]
