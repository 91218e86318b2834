"""Intra-modality aggregation: a GCN over similar mentions (section 3.2.2, eqs. 4 and 5).

A batch reads the neighbours of its mentions, their neighbours, and so on, once a layer. The blocks
hold every edge that the layers would read in the full graph, so a batch's result equals the dense
formula on the graph that `neighbor_limit` leaves (the whole graph when it is 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from stages.heads.spmm import SparseRows, spmm
from stages.heads.threshold import Threshold


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
class Block:
    """One layer's edges: rows are the layer's output nodes, columns its input nodes.

    The output nodes are the first rows of the input nodes.
    """

    edges: SparseRows
    weights: Tensor  # (edges,): stored similarities, before τ
    degree: sp.csr_array | None  # with `sym`: the input nodes' whole rows


@dataclass(frozen=True)
class Neighborhood:
    """What a batch's GCN reads.

    nodes: rows of the graph whose features enter the first layer; the batch's own come first.
    blocks: one a layer, in the order of the layers.
    """

    nodes: np.ndarray
    blocks: tuple[Block, ...]

    def to(self, device: torch.device) -> Neighborhood:
        blocks = (Block(b.edges.to(device), b.weights.to(device), b.degree) for b in self.blocks)
        return Neighborhood(self.nodes, tuple(blocks))


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
        block = Block(edges, torch.from_numpy(rows.data), graph[inputs] if degrees else None)
        found.append(block)
        nodes = inputs
    return Neighborhood(nodes, tuple(reversed(found)))


class Gcn(nn.Module):
    """v^{l+1} = φ(Ã v^l W_g + b_g) with A thresholded at τ (eqs. 4 and 5), φ = ReLU but for the
    last layer, whose output must be able to take any sign to be fused with the original.

    Shapes
    ------
    v: (nodes, d_v) or (nodes, n_p, d_v): the same Ã for each patch -> (batch, [n_p,] d_v)
    """

    def __init__(self, d_v: int, layers: int, normalization: str) -> None:
        super().__init__()
        self.normalization = normalization
        self.layers = nn.ModuleList(nn.Linear(d_v, d_v) for _ in range(layers))

    def forward(self, v: Tensor, blocks: Sequence[Block], threshold: Threshold) -> Tensor:
        for index, (layer, block) in enumerate(zip(self.layers, blocks, strict=True)):
            weights = self._normalized(block, threshold)
            inputs = v.shape
            v = spmm(block.edges, weights, layer_input(layer, v).reshape(inputs[0], -1))
            v = v.view(-1, *inputs[1:]) + layer.bias
            if index + 1 < len(self.layers):
                v = torch.relu(v)
        return v

    def _normalized(self, block: Block, threshold: Threshold) -> Tensor:
        weights = threshold(block.weights)
        if self.normalization == "none":
            return weights
        rows = block.edges.row_index()
        degree = torch.zeros(block.edges.n_rows).to(weights).index_add(0, rows, weights)
        if self.normalization == "row":
            return weights / degree.clamp_min(1e-12)[rows]
        assert block.degree is not None
        whole = threshold(torch.from_numpy(block.degree.data).to(weights))
        counts = torch.from_numpy(np.diff(block.degree.indptr).astype(np.int64)).to(rows.device)
        owner = torch.repeat_interleave(torch.arange(len(counts), device=rows.device), counts)
        columns = torch.zeros(len(counts)).to(weights).index_add(0, owner, whole)
        product = degree[rows] * columns[block.edges.indices]
        return weights * product.clamp_min(1e-12).rsqrt()


def layer_input(layer: nn.Module, v: Tensor) -> Tensor:
    """v W_g. A(vW) = (Av)W: multiplied first, since the nodes are fewer than the edges."""
    assert isinstance(layer, nn.Linear)
    return v @ layer.weight.T
