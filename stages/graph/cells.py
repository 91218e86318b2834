"""Candidates without comparing all pairs: faiss's inverted file, a few cells a query.

Beyond some hundred thousand mentions, n² products take hours. Here n points fall into 4√n cells and
a query reads the points of its nearest cells, so n queries cost about n^1.5. faiss only proposes
candidates; they are weighed as with the exact backend (`weigher.py`). An edge's value therefore has
the same bits, and only which edges are found is approximate. `probes.py` measures how many are.

Nothing is lost within the cells that a query reads: its list grows until it provably holds the `k`
best of them, whatever pairs are excluded and however many tie.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache.errors import MelovError
from stages.graph.points import Frame, Queries
from stages.graph.similarity import Metric

CELLS = 4
"""Cells per √n: a query then compares as many centres as sixteen cells hold points."""
SEED = 0
ROUNDS, POINTS_A_CELL = 10, 64
"""Of k-means: rounds, and training points a cell. More of either finds no more edges."""
QUERIES = 1024
"""Queries searched at once, so that faiss has work for all threads."""
SLACK = 16
"""Candidates requested beyond k: the mention itself, and neighbors as near as the k-th."""
GROWTH = 4
"""Factor by which a list that was too short grows."""
HELD = 1 << 22
"""List entries in memory at once: 48 MB."""

Allowed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows, columns), of equal or broadcast shape -> which pairs may be neighbors."""


def load_faiss() -> Any:
    """The module faiss.

    Raises:
        MelovError: faiss is not installed; names the extra.
    """
    try:
        import faiss
    except ImportError as error:
        raise MelovError(
            f"graph.backend faiss: faiss cannot be loaded: {error}",
            "pip install 'melov-cache[faiss]', or set graph.backend=exact, which takes n² products",
        ) from None
    return faiss


@dataclass(frozen=True)
class CellIndex:
    """Keys, sorted into cells.

    Args:
        probes: cells that a query reads, from 1 to `cells`; with all of them the search is exact.
    """

    frame: Frame
    index: Any
    probes: int

    @classmethod
    def of(cls, keys: np.ndarray, metric: Metric) -> CellIndex:
        """Index of `keys (n, d)`, checked features, n ≥ 1. It reads one cell: see `reading`.

        Raises:
            MelovError: faiss is not installed.
        """
        faiss = load_faiss()
        frame = Frame.of(metric, keys)
        points = frame.keys(keys)
        cells = max(1, min(round(CELLS * math.sqrt(len(keys))), len(keys)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(frame.width), frame.width, cells)
        index.cp.seed, index.cp.niter = SEED, ROUNDS
        index.cp.min_points_per_centroid = 1  # otherwise it writes a warning to stderr
        index.cp.max_points_per_centroid = POINTS_A_CELL
        index.train(points)
        index.add(points)
        return cls(frame, index, 1)

    @property
    def cells(self) -> int:
        cells: int = self.index.nlist
        return cells

    def reading(self, probes: int) -> CellIndex:
        """The same index, reading `probes` cells a query."""
        return replace(self, probes=min(probes, self.cells))

    def candidates(
        self, queries: np.ndarray, floor: float, k: int | None, allowed: Allowed
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Pairs that may be among the `k` best above `floor` of `queries (m, d)`: (rows, flat).

        `flat` holds ascending indices into (rows × n), as `CandidateScores.candidates` does. Those
        of a row do not depend on the rows searched with it.
        """
        for start in range(0, len(queries), QUERIES):
            rows = slice(start, min(start + QUERIES, len(queries)))
            block = self.frame.queries(queries[rows], floor)
            found = list(self._search(block, k, start, allowed))
            yield rows, np.sort(np.concatenate(found))

    def _search(
        self, queries: Queries, k: int | None, start: int, allowed: Allowed
    ) -> Iterator[np.ndarray]:
        """Flat candidates of the queries from row `start` on, in the order in which they settle."""
        n = self.index.ntotal
        pending = np.arange(len(queries.points))
        asked = min(SLACK + (GROWTH * SLACK if k is None else k), n)
        while len(pending):
            short = []
            size = max(1, HELD // asked)
            for first in range(0, len(pending), size):
                rows = pending[first : first + size]
                distance, column = self._nearest(queries.points[rows], asked)
                limit, margin = queries.limit[rows, None], queries.margin[rows, None]
                fits = (column >= 0) & (distance < limit)
                fits &= allowed(start + rows[:, None], column)
                worst = kth_least(np.where(fits, distance, np.inf), k) + 2 * margin
                # Where the list's last entry still counts, more may follow that lie as near.
                cut = np.isfinite(distance[:, -1:]) & (distance[:, -1:] <= np.minimum(worst, limit))
                done = ~cut[:, 0] if asked < n else np.ones(len(rows), bool)
                i, place = np.nonzero(fits & (distance <= worst) & done[:, None])
                yield rows[i] * n + column[i, place]
                short.append(rows[~done])
            pending = np.concatenate(short)
            asked = min(GROWTH * asked, n)

    def _nearest(self, points: np.ndarray, asked: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (m, asked), ascending, and columns; inf and -1 where there is none."""
        faiss = load_faiss()
        with _query_by_query(faiss):
            reading = faiss.SearchParametersIVF(nprobe=self.probes)
            distance, column = self.index.search(points, asked, params=reading)
        return np.where(column >= 0, distance.astype(np.float64), np.inf), column


def kth_least(values: np.ndarray, k: int | None) -> np.ndarray:
    """The k-th least of each row of `values (m, n)` as (m, 1); inf for None or a shorter row."""
    if k is None or k > values.shape[1]:
        return np.full((len(values), 1), np.inf)
    least: np.ndarray = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
    return least


@contextlib.contextmanager
def _query_by_query(faiss: Any) -> Iterator[None]:
    """Let faiss compare each query with the cells' centres on its own, not in a matrix product.

    A product's rounding depends on the other queries in it; a mention's result must not.
    """
    threshold = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = threshold
