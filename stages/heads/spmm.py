"""Sparse times dense, with gradients for both (the product of eq. 5).

torch's own autograd of a CSR product has a slow backward: it forms the transpose again, through
sorted coordinates. Ours keeps the transpose's structure with the matrix's. `train.spmm` chooses
torch-sparse in its place, where that is installed.
"""

import functools
import importlib
import warnings
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cache.errors import MelovError
from stages.features.neighborhood import SparseRows

Backend = Literal["torch", "torch-sparse"]


def spmm(graph: SparseRows, values: Tensor, x: Tensor, backend: Backend = "torch") -> Tensor:
    """A x, for A with the structure of `graph`.

    Shapes:
        values: (nnz,); x: (n_cols, f) -> (n_rows, f). One float dtype, gradients for both.

    Raises:
        ValueError: shapes that do not fit.
        MelovError: torch-sparse was asked for and is not installed.
    """
    if values.shape != (graph.nnz,) or x.dim() != 2 or len(x) != graph.n_cols:
        raise ValueError(
            f"spmm: values {tuple(values.shape)}, x {tuple(x.shape)}; "
            f"expected ({graph.nnz},) and ({graph.n_cols}, f)"
        )
    if backend == "torch-sparse":
        return _torch_sparse(graph, values, x)
    return _Spmm.apply(values, x, graph)  # type: ignore[no-untyped-call]  # torch's


class _Spmm(torch.autograd.Function):
    """y = A x; dL/dx = Aᵀ g; dL/dA_ij = g_i · x_j on the stored entries."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, graph: SparseRows) -> Tensor:
        ctx.save_for_backward(values, x)
        ctx.graph = graph
        return csr_product(graph, values, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, x = ctx.saved_tensors
        graph: SparseRows = ctx.graph
        grad_values = grad_x = None
        if ctx.needs_input_grad[0]:
            grad_values = row_dots(graph, grad, x)
        if ctx.needs_input_grad[1]:
            transpose, order = graph.transposed
            grad_x = csr_product(transpose, values[order], grad)
        return grad_values, grad_x, None


def csr_product(graph: SparseRows, values: Tensor, x: Tensor) -> Tensor:
    """A x without gradients, by torch's CSR product."""
    if not graph.nnz or not x.numel():
        return x.new_zeros(graph.n_rows, x.shape[1])
    return _csr(graph, values) @ x


def row_dots(graph: SparseRows, grad: Tensor, x: Tensor) -> Tensor:
    """grad_i · x_j for each stored entry (i, j): (nnz,).

    By torch's sampled product: no entry's rows are copied, so memory stays at nnz floats, and it
    is ten times faster than gathering them in blocks.
    """
    if not graph.nnz or not x.numel():
        return grad.new_zeros(graph.nnz)
    zeros = _csr(graph, grad.new_zeros(graph.nnz))
    return torch.sparse.sampled_addmm(zeros, grad, x.t(), beta=0.0).values()


def _csr(graph: SparseRows, values: Tensor) -> Tensor:
    _settle_beta_warning()
    size = (graph.n_rows, graph.n_cols)
    return torch.sparse_csr_tensor(
        graph.indptr, graph.indices, values, size, check_invariants=False
    )


@functools.cache
def _settle_beta_warning() -> None:
    """torch says once a process that CSR is in beta; it is said here, unheard."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        offsets, column = torch.tensor([0, 1]), torch.tensor([0])
        torch.sparse_csr_tensor(offsets, column, torch.ones(1), (1, 1), check_invariants=False)


def load_torch_sparse() -> Any:
    """The package torch_sparse.

    Raises:
        MelovError: it is not installed, or does not load with this torch.
    """
    try:
        return importlib.import_module("torch_sparse")
    except (ImportError, OSError) as error:
        raise MelovError(
            f"torch-sparse cannot be loaded: {error}",
            "pip install --no-build-isolation 'melov-cache[torch-sparse]', or "
            "--set train.spmm=torch",
        ) from None


def _torch_sparse(graph: SparseRows, values: Tensor, x: Tensor) -> Tensor:
    torch_sparse = load_torch_sparse()
    matrix = torch_sparse.SparseTensor(
        rowptr=graph.indptr.long(), col=graph.indices.long(), value=values,
        sparse_sizes=(graph.n_rows, graph.n_cols), is_sorted=True,
    )  # fmt: skip
    return torch_sparse.matmul(matrix, x)
