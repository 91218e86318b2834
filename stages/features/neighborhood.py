"""The part of a graph that a batch's GCN reads.

A batch reads the neighbors of its mentions, their neighbors, and so on, once a layer. The blocks
hold every edge that the layers would read in the full graph, so a batch's result equals the dense
formula on the graph that `limit_neighbors` leaves.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The structure of a CSR matrix; its values come separately, since they are learned.

    indptr: int64 or int32 (n_rows + 1,); indices: the same dtype (nnz,).
    """

    indptr: Tensor
    indices: Tensor
    n_rows: int
    n_cols: int

    def __post_init__(self) -> None:
        if self.indptr.shape != (self.n_rows + 1,) or self.indices.dim() != 1:
            raise ValueError(
                f"SparseRows: indptr {tuple(self.indptr.shape)}, indices "
                f"{tuple(self.indices.shape)}; expected ({self.n_rows + 1},) and (nnz,)"
            )
        if self.indptr.dtype != self.indices.dtype:
            raise ValueError(
                f"SparseRows: indptr {self.indptr.dtype}, indices {self.indices.dtype}; "
                "expected one dtype"
            )

    @property
    def nnz(self) -> int:
        return len(self.indices)

    @functools.cached_property
    def row_index(self) -> Tensor:
        """The row of each entry, int64 (nnz,)."""
        row = torch.arange(self.n_rows, device=self.indptr.device)
        return torch.repeat_interleave(row, self.indptr.diff().long(), output_size=self.nnz)

    @functools.cached_property
    def transposed(self) -> tuple[SparseRows, Tensor]:
        """The transpose, and which entry of this matrix each of its entries is; built once."""
        order = torch.argsort(self.indices, stable=True)
        counts = self.indptr.new_zeros(self.n_cols)  # bincount would ask a GPU for the largest
        counts.index_add_(0, self.indices, torch.ones_like(self.indices))
        indptr = self.indptr.new_zeros(self.n_cols + 1)
        indptr[1:] = counts.cumsum(0)
        rows = self.row_index[order].to(self.indices.dtype)
        return SparseRows(indptr, rows, self.n_cols, self.n_rows), order

    def to(self, device: torch.device | str) -> SparseRows:
        """A copy on `device`."""
        return SparseRows(self.indptr.to(device), self.indices.to(device), self.n_rows, self.n_cols)


def limit_neighbors(adjacency: sp.csr_array, limit: int) -> sp.csr_array:
    """The heaviest `limit` entries of each row; 0 keeps all.

    Self loops weigh 1 and so always stay; they do not count. Ties go to the lower column.
    """
    if limit == 0:
        return adjacency
    counts = np.diff(adjacency.indptr)
    row = np.repeat(np.arange(len(counts)), counts)
    column, weight = adjacency.indices, adjacency.data
    own = adjacency.shape[1] - adjacency.shape[0]  # a split's own columns stand right of train's
    is_self = column == row + own
    order = np.lexsort((column, -weight, ~is_self, row))
    place = np.arange(len(order)) - np.repeat(adjacency.indptr[:-1], counts)
    keep = np.zeros(len(order), bool)
    keep[order] = place <= limit
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=len(counts)))])
    return sp.csr_array((weight[keep], column[keep], indptr), shape=adjacency.shape)


@dataclass(frozen=True)
class Whole:
    """Nodes' whole rows of the graph, of which a block has some edges.

    weights: (entries,) stored similarities; owner: int64 (entries,), the node of each.
    """

    weights: Tensor
    owner: Tensor

    @classmethod
    def of(cls, rows: sp.csr_array) -> Whole:
        owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        return cls(torch.from_numpy(rows.data), torch.from_numpy(owner))

    def to(self, device: torch.device) -> Whole:
        return Whole(self.weights.to(device), self.owner.to(device))


@dataclass(frozen=True)
class Block:
    """One layer's edges: rows are the layer's output nodes, columns its input nodes.

    The output nodes are the first rows of the input nodes.
    """

    edges: SparseRows
    weights: Tensor  # (edges,): stored similarities, before τ
    whole: Whole | None  # with `sym`: of the input nodes

    def to(self, device: torch.device) -> Block:
        whole = None if self.whole is None else self.whole.to(device)
        return Block(self.edges.to(device), self.weights.to(device), whole)


@dataclass(frozen=True, eq=False)
class SharedEdges:
    """Edges to what their nodes share, such as pictures: those of one row that lead to the same
    thing are one, of all their weights, and those of nodes without one are none.

    edges: (rows, things); kept: int64 (k,), which of the edges to nodes have a thing; slot: int64
        (k,), the edge to things that each of them is a part of.
    """

    edges: SparseRows
    kept: Tensor
    slot: Tensor

    @classmethod
    def of(cls, edges: SparseRows, thing: np.ndarray, things: int) -> SharedEdges:
        """Args:
        thing: (n_cols,), of each node, -1 for none; things: how many there are.
        """
        of_edge = thing[edges.indices.numpy()]
        kept = np.flatnonzero(of_edge >= 0)
        place = edges.row_index.numpy()[kept] * things + of_edge[kept]
        distinct, slot = np.unique(place, return_inverse=True)
        indptr = np.searchsorted(distinct, np.arange(edges.n_rows + 1) * things)
        merged = SparseRows(
            torch.from_numpy(indptr), torch.from_numpy(distinct % things), edges.n_rows, things
        )
        return cls(merged, torch.from_numpy(kept), torch.from_numpy(slot.reshape(-1)))

    def sums(self, weights: Tensor) -> Tensor:
        """The weights of the edges to things, out of those to nodes."""
        return weights.new_zeros(self.edges.nnz).index_add(0, self.slot, weights[self.kept])

    def to(self, device: torch.device) -> SharedEdges:
        return SharedEdges(self.edges.to(device), self.kept.to(device), self.slot.to(device))


@dataclass(frozen=True)
class Neighborhood:
    """What a batch's GCN reads.

    nodes: rows of the graph whose features enter the first layer; the batch's own come first.
    blocks: one a layer, in the order of the layers.
    """

    nodes: np.ndarray
    blocks: tuple[Block, ...]

    def to(self, device: torch.device) -> Neighborhood:
        return Neighborhood(self.nodes, tuple(block.to(device) for block in self.blocks))


def neighborhood(
    graph: sp.csr_array, batch: np.ndarray, layers: int, degrees: bool = False
) -> Neighborhood:
    """Blocks for `batch` (distinct rows of the square `graph`), found from the last layer back."""
    nodes = np.asarray(batch, dtype=np.int64)
    found: list[Block] = []
    for _ in range(layers):
        rows = graph[nodes]
        extra = np.setdiff1d(rows.indices, nodes)
        inputs = np.concatenate([nodes, extra])
        place = np.empty(graph.shape[1], dtype=np.int64)
        place[inputs] = np.arange(len(inputs))
        edges = SparseRows(
            torch.from_numpy(rows.indptr.astype(np.int64)),
            torch.from_numpy(place[rows.indices]),
            len(nodes),
            len(inputs),
        )
        whole = Whole.of(graph[inputs]) if degrees else None
        block = Block(edges, torch.from_numpy(rows.data), whole)
        found.append(block)
        nodes = inputs
    return Neighborhood(nodes, tuple(reversed(found)))
