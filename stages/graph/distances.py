"""Euclidean distances between rows: of given pairs exactly, and their mean over all pairs.

The mean sets the bandwidth b of eq. 3. It runs over every pair i < j, streamed in blocks of the
upper triangle: n × n never exists in memory.
"""

import numpy as np

from cache.errors import MelovError

BLOCK = 2048
"""Rows and columns of one block of distances: 16 MB. Fixed, so that the mean has one value."""
PAIRS = 512
"""Pairs whose differences are formed at once: 2 MB at d = 512, so they stay in a core's cache."""
NEAR = 1e-2
"""A squared distance below this share of |x_i|² + |x_j|² has lost digits to cancellation."""


class GraphError(MelovError):
    """Features that no graph can be built from, or a folder that none can be read from."""


def check_features(x: np.ndarray, what: str) -> np.ndarray:
    """`x` as C-ordered float32 `(n, d)`.

    Raises:
        GraphError: not a matrix, NaN or infinity, or so large that squares overflow float32.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim != 2:
        raise GraphError(f"{what}: expected features of shape (n, d), found {x.shape}")
    largest = float(np.abs(x).max(initial=0))
    if not 8 * x.shape[1] * largest**2 < float(np.finfo(np.float32).max):  # NaN fails this too
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        found = f"row {bad[0]} holds NaN or infinity" if len(bad) else f"an entry is {largest:g}"
        raise GraphError(f"{what}: {found}", "run python -m pipeline.extract --dataset NAME again")
    return x


def product(left: np.ndarray, right: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """left · rightᵀ, (m, n), of checked features.

    BLAS kernels also compute in lanes beyond a matrix's edge, on whatever lies there, and can raise
    the processor's flag for NaN so; NumPy would warn of it, although no result depends on them.
    `check_features` excludes a true one.
    """
    with np.errstate(invalid="ignore"):
        return np.matmul(left, right.T, out=out)


def row_sums(products: np.ndarray) -> np.ndarray:
    """Sums of the rows of a C-ordered float64 `(c, d)` -> `(c,)`.

    NumPy sums a contiguous row in an order that depends on d alone, so a pair has the same bits in
    any block. BLAS does not promise that.
    """
    sums: np.ndarray = np.add.reduce(products, axis=1)
    return sums


def squared_distances(x_i: np.ndarray, x_j: np.ndarray) -> np.ndarray:
    """||x_i - x_j||² of paired rows, `(c, d)` and `(c, d)` -> float64 `(c,)`.

    From differences: exactly 0 for equal rows, and the same bits with the arguments swapped.
    """
    difference = np.subtract(x_i, x_j, dtype=np.float64)
    np.multiply(difference, difference, out=difference)
    return row_sums(difference)


def seeded_rows(x: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` seeded rows of `x (n, d)` in their order; all rows of a shorter `x`."""
    if len(x) <= count:
        return x
    rows = np.random.default_rng(seed).choice(len(x), count, replace=False)
    sampled: np.ndarray = x[np.sort(rows)]
    return sampled


def mean_distance(x: np.ndarray) -> float:
    """Mean of ||x_i - x_j|| over all pairs i < j of `x (n, d)`.

    Blocks are float32 products of centred rows (distances do not depend on the origin, and small
    norms cancel less). Near pairs are recomputed from their differences; sums are float64. The
    result is rounded to float32, so that BLAS's thread count does not change the bandwidth.

    Raises:
        GraphError: fewer than two rows, or all rows equal: the bandwidth would be zero.
    """
    x = check_features(x, "mean distance")
    n = len(x)
    if n < 2:
        raise GraphError(
            f"the mean pairwise distance needs two training mentions, found {n}",
            "prepare a data set with more training mentions",
        )
    if (x == x[0]).all():
        raise GraphError(
            f"all {n} training mentions have equal text features: the bandwidth would be zero",
            "check their texts and extract.text_encoder: python -m pipeline.extract --dataset NAME",
        )
    centred = x - x.mean(axis=0, dtype=np.float64)  # float64 (n, d)
    square = row_sums(centred * centred).astype(np.float32)[:, None]
    centred = centred.astype(np.float32)
    one = np.ones_like(square)
    left = np.hstack([-2 * centred, square, one])  # left @ right.T is ||x_i - x_j||²
    right = np.hstack([centred, one, square])
    total = 0.0
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        for other in range(start, n, BLOCK):
            columns = slice(other, other + BLOCK)
            block = product(left[rows], right[columns])
            mend_near_pairs(block, square[rows], square[columns], x[rows], x[columns])
            distances = np.sqrt(block, out=block)
            # The diagonal block holds each pair twice and each row with itself, at distance 0.
            share = 0.5 if other == start else 1.0
            total += share * float(distances.sum(dtype=np.float64))
    return float(np.float32(total / (n * (n - 1) / 2)))


def mend_near_pairs(
    block: np.ndarray, square_i: np.ndarray, square_j: np.ndarray, x_i: np.ndarray, x_j: np.ndarray
) -> None:
    """Recompute the small entries of `block (m, k)`, squared distances, from differences."""
    flat = np.flatnonzero(block < NEAR * (square_i + square_j.T))
    near_i, near_j = np.divmod(flat, block.shape[1])
    for first in range(0, len(flat), PAIRS):
        i, j = near_i[first : first + PAIRS], near_j[first : first + PAIRS]
        block[i, j] = squared_distances(x_i[i], x_j[j])
    np.maximum(block, 0, out=block)  # a zero pair of zero norms may round below
