"""The files of a graph, read back: `graph.json` and the matrices that it vouches for.

A right checksum says who wrote a file last, not that it holds a graph: a CSR matrix whose indices
lead out of it ends the process that follows them.
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cache.errors import MelovError, reason
from cache.npz import read_npz
from cache.ragged import ascends
from cache.sealed import Sealed
from cache.strict import short
from stages.config import GraphConfig
from stages.graph.distances import GraphError
from stages.section import Section, checked

LAYOUT = 2
INDEX = "graph.json"


class SplitStats(Section):
    """Of one split's rows."""

    mentions: int
    entries: int
    without_neighbour: int
    mean_neighbours: float


class GraphIndex(Section):
    """`graph.json`; cells, probes and recall are of the backend faiss alone."""

    layout: int
    n: int
    edges: int
    mean_degree: float
    max_degree: int
    isolated: int
    backend: str
    cells: int | None = None
    probes: int | None = None
    recall: float | None = None
    metric: str
    mean_distance: float
    bandwidth_sample: int
    bandwidth: float
    dot_scale: float
    floor: float
    max_neighbors: int
    setting: str
    splits: dict[str, SplitStats]
    config: GraphConfig
    provenance: dict[str, str]


def read_graph_index(folder: Path) -> tuple[Sealed, GraphIndex]:
    """graph.json.

    Raises:
        GraphError: no complete graph, or one of another layout.
        DamagedError: it is not as it was written, or tells of no graph.
    """
    hint = f"python -m pipeline.graph --dataset {folder.resolve().parent.name}"
    try:
        sealed = Sealed.read(folder / INDEX, hint)
    except OSError as error:
        raise GraphError(f"{folder}: no complete graph: {error}", hint) from None
    layout = sealed.content.get("layout")
    if layout != LAYOUT:
        raise GraphError(f"{folder}: graph layout {short(layout)}, expected {LAYOUT}", hint)
    return sealed, checked(GraphIndex, sealed)


def load_matrix(sealed: Sealed, index: GraphIndex, split: str) -> sp.csr_array:
    """The similarities of one split: float32 CSR with a row a mention.

    Raises:
        DamagedError: the file is not the one that was written.
        GraphError: it holds no such matrix, or numbers that are not finite.
    """
    path = sealed.path.parent / f"{split}.npz"
    arrays = read_npz(
        sealed.bytes_of(path.name), str(path), lambda said: _graph_error(said, sealed)
    )
    m = index.splits[split].mentions if split in index.splits else -1
    shape = (m, index.n if split == "train" else index.n + m)
    try:
        if arrays["format"].tolist() != b"csr" or arrays["shape"].tolist() != list(shape):
            raise ValueError(f"{arrays['shape'].tolist()!r:.60} is not the shape {shape}, CSR")
        parts = tuple(arrays[name] for name in ("data", "indices", "indptr"))
        if parts[0].dtype != np.float32 or any(part.dtype.kind != "i" for part in parts[1:]):
            raise ValueError(f"numbers of {', '.join(str(part.dtype) for part in parts)}")
        if not ascends(parts[2]):
            raise ValueError("offsets that do not ascend")
        matrix = sp.csr_array(parts, shape=shape, copy=True)
        matrix.check_format()  # before anything follows the indices
        if not np.isfinite(matrix.data).all():
            raise ValueError("similarities that are no finite numbers")
    except (ValueError, TypeError, KeyError) as error:
        raise _graph_error(f"{path}: no readable matrix: {reason(error)}", sealed) from None
    return matrix


def _graph_error(message: str, sealed: Sealed) -> MelovError:
    return GraphError(message, sealed.hint)
