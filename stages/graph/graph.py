"""The similarity graph of one data set: training mentions, and how the others see them.

`data/<dataset>/graph/` holds `train.npz`, `valid.npz`, `test.npz` (SciPy's CSR form) and
`graph.json`: layout, statistics, configuration, and what the features came from.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cache.files import replacing_files
from cache.fingerprint import canonical
from cache.sealed import write_sealed
from stages.config import GraphConfig
from stages.graph.build import build_rows
from stages.graph.cells import CellIndex, load_faiss
from stages.graph.distances import GraphError, check_features, mean_distance, seeded_rows
from stages.graph.files import INDEX, LAYOUT, load_matrix, read_graph_index
from stages.graph.probes import tuned_index
from stages.graph.similarity import Metric, lengths, make_metric
from stages.paths import SPLITS

BANDWIDTH_SAMPLE = 20_000
"""Seeded training mentions over whose pairs the approximate backend takes the mean distance: all
pairs would cost the n² products that it avoids."""
RESULT_FREE = {"block_rows"}
"""Parameters that change no entry; graph.json leaves them out."""
_NO_STATS = {"layout", "config", "provenance"}


@dataclass(frozen=True)
class Graph:
    """Sparse similarity matrices A (eq. 3), float32 CSR with int32 indices.

    train: (n, n), symmetric, unit diagonal.
    valid, test: (n_split, n + n_split). Left, similarities to training mentions; right, the
        identity (with `transductive`, the mutual graph of the split's own mentions).
    config: what it was built with, `auto` settled.
    stats: as in graph.json: n, edges, mean_degree, mean_distance, bandwidth, splits, ...;
        bandwidth_sample: training mentions over which the mean distance was taken; with the backend
        faiss also cells, probes and recall (see `probes.py`).
    """

    train: sp.csr_array
    valid: sp.csr_array
    test: sp.csr_array
    config: GraphConfig
    stats: dict[str, Any]

    @property
    def metric(self) -> Metric:
        """The similarity with the training set's constants, for new mentions."""
        return make_metric(self.config.metric, *self.metric_constants)

    def rows(self, split: str) -> sp.csr_array:
        matrix: sp.csr_array = getattr(self, split)
        return matrix

    @cached_property
    def identity(self) -> str:
        """Hash of all entries and of what weighs new mentions (hex, 128 bits)."""
        state = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            matrix = self.rows(split)
            for part in (matrix.indptr, matrix.indices, matrix.data):
                state.update(np.ascontiguousarray(part).data)
        state.update(canonical([self.config.digest, *self.metric_constants]).encode())
        return state.hexdigest()

    @property
    def metric_constants(self) -> tuple[float, float]:
        return self.stats["bandwidth"], self.stats["dot_scale"]

    def save(
        self,
        folder: Path,
        provenance: Mapping[str, Any],
        draw: Callable[[Path], None] = lambda _: None,
    ) -> None:
        """Write all files, then move them in together; graph.json comes last and vouches for them.

        The bytes depend on the graph and on `provenance` alone: NumPy's zip entries carry no time.

        Args:
            draw: adds pictures to the folder that it is given.
        """
        config = self.config.model_dump(mode="json", exclude=RESULT_FREE)
        content = {"layout": LAYOUT, **self.stats, "config": config, "provenance": provenance}
        with replacing_files(folder, last=INDEX) as scratch:
            for split in SPLITS:
                with (scratch / f"{split}.npz").open("wb") as file:
                    sp.save_npz(file, self.rows(split), compressed=False)
            draw(scratch)
            write_sealed(scratch / INDEX, content, sorted(scratch.iterdir()), atomic=False)


def build_graph(
    features: Mapping[str, np.ndarray], pictures: Mapping[str, np.ndarray], config: GraphConfig
) -> Graph:
    """The graph of one data set.

    Args:
        features: split -> t_M^G, (n_split, d), as in the store: not normalised.
        pictures: split -> int32 (n_split,), the mention's picture, -1 for none.

    Raises:
        GraphError: too few or equal training mentions, features that are no finite matrix.
        MelovError: the backend is faiss, or `auto` chooses it, and faiss is not installed.
    """
    x = {split: check_features(features[split], f"{split} mentions") for split in SPLITS}
    config = config.settled(len(x["train"]))
    approximate = config.backend == "faiss"
    if approximate:
        load_faiss()  # fails before minutes of work
    sample = seeded_rows(x["train"], BANDWIDTH_SAMPLE) if approximate else x["train"]
    mean = mean_distance(sample)
    bandwidth = config.bandwidth_fraction * mean
    dot_scale = float(lengths(x["train"]).max() ** 2)
    metric = make_metric(config.metric, bandwidth, dot_scale)

    index: CellIndex | None = None
    found: dict[str, float] = {}
    if approximate:
        index, found = tuned_index(x["train"], metric, config.floor, config.max_neighbors)

    def rows(split: str, other: str) -> sp.csr_array:
        exclude = (pictures[split], pictures[other]) if config.exclude_same_image else None
        return build_rows(
            x[split], x[other], metric, config.floor, config.max_neighbors, config.block_rows,
            exclude, same=split == other, index=index if other == "train" else None,
        )  # fmt: skip

    train = rows("train", "train")
    matrices = {"train": train}
    for split in SPLITS[1:]:
        n = len(x[split])
        own = rows(split, split) if config.transductive else sp.eye_array(n, dtype=np.float32)
        matrices[split] = hstack_csr(rows(split, "train"), sp.csr_array(own))
    degree = neighbor_counts(train)
    stats = {
        "n": len(degree),
        "edges": int(degree.sum()) // 2,  # pairs
        "mean_degree": round(float(degree.mean()), 4),
        "max_degree": int(degree.max()),
        "isolated": int((degree == 0).sum()),
        "backend": config.backend,
        **found,
        "metric": config.metric,
        "mean_distance": mean,
        "bandwidth_sample": len(sample),
        "bandwidth": bandwidth,
        "dot_scale": dot_scale,
        "floor": config.floor,
        "max_neighbors": config.max_neighbors,
        "setting": "transductive" if config.transductive else "inductive",
        "splits": {split: split_stats(matrix) for split, matrix in matrices.items()},
    }
    return Graph(**matrices, config=config, stats=stats)


def hstack_csr(left: sp.csr_array, right: sp.csr_array) -> sp.csr_array:
    """[left | right] with int32 indices."""
    joined = sp.csr_array(sp.hstack([left, right], format="csr", dtype=np.float32))
    joined.sort_indices()
    joined.indices = joined.indices.astype(np.int32, copy=False)
    joined.indptr = joined.indptr.astype(np.int32, copy=False)
    return joined


def neighbor_counts(matrix: sp.csr_array) -> np.ndarray:
    """Stored entries of each row without the mention itself, (rows,)."""
    counts: np.ndarray = np.diff(matrix.indptr) - 1
    return counts


def split_stats(matrix: sp.csr_array) -> dict[str, Any]:
    counts = neighbor_counts(matrix)
    return {
        "mentions": len(counts),
        "entries": int(matrix.nnz),
        "without_neighbour": int((counts == 0).sum()),
        "mean_neighbours": round(float(counts.mean()), 4) if len(counts) else 0.0,
    }


def load_graph(folder: Path, expect: Mapping[str, Any] | None = None) -> Graph:
    """Read a folder that `Graph.save` wrote.

    Args:
        expect: fields of `provenance` and the values that they must have; None accepts any graph.

    Raises:
        GraphError: no complete graph, another layout, other provenance (names the fields that
            differ), or a file that holds no such matrix.
        DamagedError: a file is not the one that was written.
    """
    sealed, index = read_graph_index(Path(folder))
    stats = {key: value for key, value in sealed.content.items() if key not in _NO_STATS}
    differing = [
        f"{field}: graph {index.provenance.get(field, 'nothing')}, now {value}"
        for field, value in (expect or {}).items()
        if index.provenance.get(field) != value
    ]
    if differing:
        lines = "".join(f"\n  {line}" for line in differing)
        raise GraphError(f"{folder}: the graph was made from something else:{lines}", sealed.hint)
    matrices = {split: load_matrix(sealed, index, split) for split in SPLITS}
    return Graph(**matrices, config=index.config, stats=stats)
