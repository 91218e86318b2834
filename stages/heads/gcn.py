"""Intra-modality aggregation: a GCN over similar mentions (section 3.2.2, eqs. 4 and 5)."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from stages.features.neighborhood import Block, SharedEdges
from stages.heads.precision import Linear, linear
from stages.heads.spmm import Backend, spmm
from stages.heads.threshold import Threshold


class Gcn(nn.Module):
    """v^{l+1} = φ(Ã v^l W_g + b_g) with A thresholded at τ (eqs. 4 and 5), φ = ReLU but for the
    last layer, whose output must be able to take any sign to be fused with the original.

    Shapes:
        v: (p, d_v) or (p, n_p, d_v), of distinct pictures: the same Ã for each patch
        returns (batch, [n_p,] d_v)

    Args:
        first: the first layer's edges to pictures; a node without one is zero.
    """

    def __init__(
        self, d_v: int, layers: int, normalization: str, backend: Backend = "torch"
    ) -> None:
        super().__init__()
        self.normalization, self.backend = normalization, backend
        self.layers = nn.ModuleList(Linear(d_v, d_v) for _ in range(layers))

    def forward(
        self, v: Tensor, first: SharedEdges, blocks: Sequence[Block], threshold: Threshold
    ) -> Tensor:
        for index, (module, block) in enumerate(zip(self.layers, blocks, strict=True)):
            layer = cast(Linear, module)  # nn.ModuleList knows modules alone
            weights, edges = self._normalized(block, threshold), block.edges
            if index == 0:
                weights, edges = first.sums(weights), first.edges
            # A(vW) = (Av)W: multiplied first, since the nodes are fewer than the edges.
            x = linear(v, layer.weight).reshape(len(v), -1)
            product = spmm(edges, weights, x, self.backend)
            v = product.view(-1, *v.shape[1:]) + layer.bias
            if index + 1 < len(self.layers):
                v = torch.relu(v)
        return v

    def _normalized(self, block: Block, threshold: Threshold) -> Tensor:
        weights = threshold(block.weights)
        if self.normalization == "none":
            return weights
        rows = block.edges.row_index
        degree = weights.new_zeros(block.edges.n_rows).index_add(0, rows, weights)
        if self.normalization == "row":
            return weights / degree.clamp_min(1e-12)[rows]
        assert block.whole is not None
        kept = threshold(block.whole.weights)
        columns = weights.new_zeros(block.edges.n_cols).index_add(0, block.whole.owner, kept)
        product = degree[rows] * columns[block.edges.indices]
        return weights * product.clamp_min(1e-12).rsqrt()
