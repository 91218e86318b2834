"""How many cells a query reads: as many as it takes to find nearly all neighbors.

No fixed number serves all features, so it is measured: the exact neighbors of a seeded sample of
keys are compared with those that the index finds.
"""

import numpy as np
import scipy.sparse as sp

from stages.graph.build import build_rows
from stages.graph.cells import CellIndex
from stages.graph.similarity import Metric

SAMPLE, SEED = 512, 0
"""Keys whose exact neighbors are looked up: some ten thousand edges."""
BLOCK = 64
"""Sampled keys compared at once, so that their strip stays small with millions of keys."""
LEAST = 8
"""Probes to start with; they double until enough is found."""
WANTED = 0.98
"""Share of the neighbors that a row must find. Both ends must find an edge of the training graph,
so about 0.96 of its edges are found."""


def tuned_index(
    keys: np.ndarray, metric: Metric, floor: float, max_neighbors: int | None
) -> tuple[CellIndex, dict[str, float]]:
    """An index of `keys (n, d)` with the probes that it needs, and its entries of graph.json.

    The recall is taken over the sample's neighbors, a key itself not counted; it is 1 where there
    are none, and where every cell is read, so the wanted recall is always reached.

    Raises:
        MelovError: faiss is not installed.
    """
    index = CellIndex.of(keys, metric)
    rows = np.random.default_rng(SEED).choice(len(keys), min(SAMPLE, len(keys)), replace=False)
    k = None if max_neighbors is None else max_neighbors + 1  # the key itself is the first

    def neighbors(through: CellIndex | None) -> sp.csr_array:
        found = build_rows(keys[rows], keys, metric, floor, k, block_rows=BLOCK, index=through)
        edges = found.tocoo()
        others = edges.col != rows[edges.row]
        place = edges.row[others], edges.col[others]
        return sp.csr_array((np.ones(len(place[0]), np.int64), place), shape=found.shape)

    true = neighbors(None)
    probes = LEAST
    while True:
        index = index.reading(probes)
        recall = true.multiply(neighbors(index)).nnz / true.nnz if true.nnz else 1.0
        if recall >= WANTED or index.probes == index.cells:
            return index, {"cells": index.cells, "probes": index.probes, "recall": round(recall, 4)}
        probes *= 2
