"""The similarity graph of one data set: training mentions, and how the others see them.

`data/<dataset>/graph/` holds `train.npz`, `valid.npz`, `test.npz` (SciPy's CSR form) and
`graph.json`: layout, statistics, configuration, and what the features came from.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cache.files import atomic_path
from stages.config import GraphConfig
from stages.graph.build import build_rows
from stages.graph.cells import CellIndex, load_faiss
from stages.graph.distances import GraphError, check_features, mean_distance, seeded_rows
from stages.graph.probes import tuned_index
from stages.graph.similarity import Metric, lengths, make_metric
from stages.paths import SPLITS

LAYOUT = 1
BANDWIDTH_SAMPLE = 20_000
"""Seeded training mentions over whose pairs the approximate backend takes the mean distance: all
pairs would cost the n² products that it avoids."""
RESULT_FREE = {"block_rows"}
"""Parameters that change no entry; graph.json leaves them out."""


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
        return make_metric(self.config.metric, self.stats["bandwidth"], self.stats["dot_scale"])

    def rows(self, split: str) -> sp.csr_array:
        matrix: sp.csr_array = getattr(self, split)
        return matrix

    def save(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Write the folder; graph.json comes last, so its presence means that all is there.

        The bytes depend on the graph and on `provenance` alone: NumPy's zip entries carry no time.
        """
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / "graph.json"
        index.unlink(missing_ok=True)
        for split in SPLITS:
            with atomic_path(folder / f"{split}.npz") as path, path.open("wb") as file:
                sp.save_npz(file, self.rows(split), compressed=False)
        config = self.config.model_dump(mode="json", exclude=RESULT_FREE)
        content = {"layout": LAYOUT, **self.stats, "config": config, "provenance": provenance}
        with atomic_path(index) as path:
            path.write_text(
                json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )


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
        GraphError: no complete graph, a damaged file, another layout, or other provenance (names
            the fields that differ).
    """
    folder = Path(folder)
    hint = f"python -m pipeline.graph --dataset {folder.resolve().parent.name}"
    try:
        content = json.loads((folder / "graph.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GraphError(f"{folder}: no complete graph: {error}", hint) from None
    layout = content.pop("layout", None) if isinstance(content, dict) else None
    if layout != LAYOUT:
        raise GraphError(f"{folder}: graph layout {layout}, expected {LAYOUT}", hint)
    provenance, config = content.pop("provenance"), content.pop("config")
    differing = [
        f"{field}: graph {provenance.get(field, 'nothing')}, now {value}"
        for field, value in (expect or {}).items()
        if provenance.get(field) != value
    ]
    if differing:
        lines = "".join(f"\n  {line}" for line in differing)
        raise GraphError(f"{folder}: the graph was made from something else:{lines}", hint)
    matrices = {split: load_matrix(folder / f"{split}.npz", hint) for split in SPLITS}
    for split, matrix in matrices.items():
        counted = content["splits"][split]
        found = {"mentions": matrix.shape[0], "entries": int(matrix.nnz)}
        if any(counted[key] != value for key, value in found.items()):
            raise GraphError(f"{folder}/{split}.npz: {found}, graph.json says {counted}", hint)
    return Graph(**matrices, config=GraphConfig(**config), stats=content)


def load_matrix(path: Path, hint: str) -> sp.csr_array:
    try:
        with path.open("rb") as file:  # NumPy leaves a torn file open
            return sp.csr_array(sp.load_npz(file))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise GraphError(f"{path}: no readable matrix: {error}", hint) from None
