"""The GCN's sparse product, forward and backward, ours and its peers: the whole training graph of
WikiMEL, with gradients for the edges' weights (τ needs them) and for the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.compare import Mark, Timing, at_least, at_most, compare, ratio_of
from stages.features.neighborhood import SparseRows
from stages.heads.spmm import spmm

NODES, NEIGHBOURS, WIDTH = 18_092, 20, 96
MOST_ROUNDS = 3  # torch's own backward takes seconds
OURS, TORCH, TORCH_SPARSE = "aggregation, ours", "aggregation, torch CSR", "torch-sparse"

Gradients = tuple[Tensor, Tensor, Tensor]
"""The product (NODES, WIDTH), then the gradients of weights (edges,) and features."""


@dataclass(frozen=True)
class Problem:
    """A row-normalised matrix, features, and the gradient of the product."""

    graph: SparseRows
    weights: Tensor
    x: Tensor
    grad: Tensor

    @classmethod
    def draw(cls) -> Problem:
        rng = np.random.default_rng(0)
        columns = np.stack([rng.choice(NODES, NEIGHBOURS, replace=False) for _ in range(NODES)])
        indptr = torch.arange(0, NODES * NEIGHBOURS + 1, NEIGHBOURS)
        indices = torch.from_numpy(np.sort(columns, axis=1).ravel())
        values = torch.from_numpy(rng.random(NODES * NEIGHBOURS, dtype=np.float32))
        x, grad = (
            torch.from_numpy(rng.standard_normal((NODES, WIDTH), dtype=np.float32)) for _ in "xg"
        )
        return cls(SparseRows(indptr, indices, NODES, NODES), values / NEIGHBOURS, x, grad)

    def run(self, product: Callable[[Tensor, Tensor], Tensor]) -> Gradients:
        """One pass forward and backward."""
        weights, x = self.weights.clone().requires_grad_(), self.x.clone().requires_grad_()
        y = product(weights, x)
        of_weights, of_x = torch.autograd.grad(y, (weights, x), self.grad)
        return y.detach(), of_weights, of_x


def aggregation(rounds: int) -> tuple[list[Timing], list[Mark], list[str]]:
    """Timings, marks and notes; results are compared before anything is timed."""
    problem = Problem.draw()
    products = _products(problem.graph)
    check_equal({name: problem.run(product) for name, product in products.items()})
    timings = compare(
        {name: partial(problem.run, product) for name, product in products.items()},
        min(rounds, MOST_ROUNDS),
    )
    marks = [at_least("aggregation against torch's CSR autograd", ratio_of(timings, TORCH), 5)]
    edges = NODES * NEIGHBOURS
    notes = [
        f"aggregation: forward and backward over {NODES} nodes, {edges} edges, {WIDTH} columns; "
        "every contender keeps the matrix's structure from pass to pass"
    ]
    if TORCH_SPARSE in products:
        ours = 1 / ratio_of(timings, TORCH_SPARSE)
        marks.append(at_most("aggregation, its time over torch-sparse's", ours, 1.5))
    else:
        notes.append("torch-sparse is not installed, so it was not measured here")
    return timings, marks, notes


def check_equal(results: dict[str, Gradients]) -> None:
    """Raises AssertionError where a contender's product or gradients differ from ours."""
    for name, found in results.items():
        for ours, theirs in zip(results[OURS], found, strict=True):
            torch.testing.assert_close(theirs, ours, msg=lambda text, name=name: f"{name}: {text}")


def _products(graph: SparseRows) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    size = (graph.n_rows, graph.n_cols)

    def torch_csr(weights: Tensor, x: Tensor) -> Tensor:
        matrix = torch.sparse_csr_tensor(
            graph.indptr, graph.indices, weights, size, check_invariants=False
        )
        product: Tensor = matrix @ x
        return product

    found = {OURS: partial(spmm, graph), TORCH: torch_csr}
    try:
        import torch_sparse
    except ImportError:
        return found
    matrix = torch_sparse.SparseTensor(
        rowptr=graph.indptr, col=graph.indices, sparse_sizes=size, is_sorted=True
    )
    matrix.fill_cache_()  # its transpose, as ours is kept

    def sparse(weights: Tensor, x: Tensor) -> Tensor:
        product: Tensor = torch_sparse.matmul(matrix.set_value(weights, layout="csr"), x)
        return product

    return {**found, TORCH_SPARSE: sparse}
