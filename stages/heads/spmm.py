"""Sparse times dense, with gradients for both (the product of eq. 5).

torch's own autograd of a CSR product has a slow backward: it forms the transpose anew, through
sorted coordinates. Ours keeps the transpose's structure with the matrix's. `torch-sparse` is an
alternative where it is installed; nothing else in the project knows of it.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cache.errors import MelovError

Backend = Literal["torch", "torch-sparse"]


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

    def row_index(self) -> Tensor:
        """The row of each entry, int64 (nnz,)."""
        return self._row_index

    @functools.cached_property
    def _row_index(self) -> Tensor:
        row = torch.arange(self.n_rows, device=self.indptr.device)
        return torch.repeat_interleave(row, self.indptr.diff().long(), output_size=self.nnz)

    @functools.cached_property
    def transposed(self) -> tuple[SparseRows, Tensor]:
        """The transpose, and which entry of this matrix each of its entries is; built once."""
        order = torch.argsort(self.indices, stable=True)
        counts = torch.bincount(self.indices, minlength=self.n_cols)
        indptr = torch.zeros(self.n_cols + 1, dtype=self.indptr.dtype, device=self.indptr.device)
        indptr[1:] = counts.cumsum(0)
        rows = self.row_index()[order].to(self.indices.dtype)
        return SparseRows(indptr, rows, self.n_cols, self.n_rows), order

    def to(self, device: torch.device | str) -> SparseRows:
        """A copy on `device`."""
        return SparseRows(self.indptr.to(device), self.indices.to(device), self.n_rows, self.n_cols)


def spmm(graph: SparseRows, values: Tensor, x: Tensor, backend: Backend = "torch") -> Tensor:
    """A x, for A with the structure of `graph`.

    Shapes
    ------
    values: (nnz,); x: (n_cols, f) -> (n_rows, f). One float dtype, gradients for both.

    Raises
    ------
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
    result: Tensor = _Spmm.apply(values, x, graph)
    return result


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
    dots: Tensor = torch.sparse.sampled_addmm(zeros, grad, x.t(), beta=0.0).values()
    return dots


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
        offsets, column = torch.tensor([0, 1]), torch.tensor([0])
        torch.sparse_csr_tensor(offsets, column, torch.ones(1), (1, 1), check_invariants=False)


def _torch_sparse(graph: SparseRows, values: Tensor, x: Tensor) -> Tensor:
    try:
        import torch_sparse
    except ImportError as error:
        raise MelovError(
            f"the torch-sparse backend cannot be loaded: {error}",
            "pip install --no-build-isolation 'melov-cache[torch-sparse]', or use backend 'torch'",
        ) from None
    matrix = torch_sparse.SparseTensor(
        rowptr=graph.indptr.long(), col=graph.indices.long(), value=values,
        sparse_sizes=(graph.n_rows, graph.n_cols), is_sorted=True,
    )  # fmt: skip
    product: Tensor = torch_sparse.matmul(matrix, x)
    return product
