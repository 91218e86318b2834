"""The sparse product, against dense matrices."""

import importlib.util
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cache.errors import MelovError
from stages.features.neighborhood import SparseRows
from stages.heads.spmm import row_dots, spmm

needs_torch_sparse = pytest.mark.skipif(
    importlib.util.find_spec("torch_sparse") is None,
    reason="torch-sparse is not installed: pip install 'melov-cache[torch-sparse]'",
)


def rows_of(matrix, dtype=torch.int64):
    """Structure and values of a dense array's non-zero entries."""
    csr = sp.csr_array(np.asarray(matrix))
    structure = SparseRows(
        torch.from_numpy(csr.indptr).to(dtype), torch.from_numpy(csr.indices).to(dtype), *csr.shape
    )
    return structure, torch.from_numpy(csr.data)


def random_matrix(m, n, density=0.2, seed=0):
    matrix = sp.random_array((m, n), density=density, rng=np.random.default_rng(seed))
    return matrix.toarray()


def gradients(graph, values, x, grad, backend="torch"):
    values, x = values.clone().requires_grad_(), x.clone().requires_grad_()
    y = spmm(graph, values, x, backend)
    return (y.detach(), *torch.autograd.grad(y, (values, x), grad))


@pytest.mark.parametrize("index", [torch.int64, torch.int32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "n", "f"), [(30, 30, 7), (12, 50, 1), (50, 12, 3), (1, 1, 1)])
def test_the_product_and_both_gradients_equal_the_dense_ones(index, dtype, m, n, f):
    dense = torch.from_numpy(random_matrix(m, n) + (np.arange(n) == 0)).to(dtype)
    graph, values = rows_of(dense, index)
    x, grad = torch.randn(n, f, dtype=dtype), torch.randn(m, f, dtype=dtype)
    dense.requires_grad_()
    copy = x.clone().requires_grad_()
    plain = dense @ copy
    plain_values, plain_x = torch.autograd.grad(plain, (dense, copy), grad)
    y, ours_values, ours_x = gradients(graph, values, x, grad)
    torch.testing.assert_close(y, plain.detach())
    torch.testing.assert_close(ours_x, plain_x)
    torch.testing.assert_close(ours_values, plain_values[graph.row_index, graph.indices.long()])


def test_both_gradients_equal_finite_differences_in_float64():
    graph, values = rows_of(random_matrix(9, 6, 0.4))
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, x: spmm(graph, v, x), (values.requires_grad_(), x))


def test_a_gradient_that_nobody_asks_for_is_not_computed(monkeypatch):
    graph, values = rows_of(random_matrix(9, 6, 0.4))
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)

    def fail(*_):
        raise AssertionError("the values' gradient was computed")

    monkeypatch.setattr("stages.heads.spmm.row_dots", fail)
    spmm(graph, values, x).sum().backward()
    assert x.grad is not None


def test_expanded_and_transposed_inputs_give_what_their_copies_give():
    graph, values = rows_of(random_matrix(20, 15))
    x = torch.randn(8, 15, dtype=torch.float64).t()
    grad = torch.ones((), dtype=torch.float64).expand(20, 8)
    for ours, plain in zip(
        gradients(graph, values, x, grad),
        gradients(graph, values, x.contiguous(), grad.contiguous()),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize(("m", "n", "f"), [(4, 3, 2), (0, 3, 2), (4, 3, 0)])
def test_a_matrix_without_entries_gives_zeros_and_zero_gradients(m, n, f):
    graph, values = rows_of(np.zeros((m, n), np.float32))
    y, grad_values, grad_x = gradients(graph, values, torch.ones(n, f), torch.ones(m, f))
    assert y.shape == (m, f)
    assert grad_values.shape == (0,)
    assert grad_x.shape == (n, f)
    assert not y.any()
    assert not grad_x.any()


def test_empty_rows_and_columns_stay_zero():
    dense = np.zeros((5, 4), np.float32)
    dense[1, 2] = 3
    graph, values = rows_of(dense)
    y, _, grad_x = gradients(graph, values, torch.ones(4, 2), torch.ones(5, 2))
    np.testing.assert_array_equal(y.numpy(), [[0, 0], [3, 3], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(grad_x.numpy(), [[0, 0], [0, 0], [3, 3], [0, 0]])


def test_two_runs_give_the_same_bits():
    graph, values = rows_of(random_matrix(400, 400, 0.05).astype(np.float32))
    x, grad = torch.randn(400, 33), torch.randn(400, 33)
    first = gradients(graph, values, x, grad)
    for again, once in zip(gradients(graph, values, x, grad), first, strict=True):
        assert torch.equal(again, once)


def test_the_transpose_is_built_once_and_transposes_back():
    dense = random_matrix(7, 11, 0.3)
    graph, values = rows_of(dense)
    transpose, order = graph.transposed
    assert graph.transposed[0] is transpose
    matrix = sp.csr_array(
        (values[order].numpy(), transpose.indices.numpy(), transpose.indptr.numpy()), shape=(11, 7)
    )
    np.testing.assert_array_equal(matrix.toarray(), dense.T)


def test_row_dots_take_each_entry_s_row_and_column():
    graph, _ = rows_of(random_matrix(6, 5, 0.5))
    grad, x = torch.randn(6, 3), torch.randn(5, 3)
    plain = [grad[i] @ x[j] for i, j in zip(graph.row_index, graph.indices, strict=True)]
    torch.testing.assert_close(row_dots(graph, grad, x), torch.stack(plain))


def test_shapes_that_do_not_fit_are_refused_with_both():
    graph, values = rows_of(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"x \(4, 2\); expected \(3,\) and \(3, f\)"):
        spmm(graph, values, torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"indptr \(3,\)"):
        SparseRows(torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 3, 3)
    with pytest.raises(ValueError, match="expected one dtype"):
        SparseRows(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), 3, 3)


def test_torch_sparse_that_is_not_there_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    graph, values = rows_of(np.eye(3, dtype=np.float32))
    with pytest.raises(MelovError, match=r"melov-cache\[torch-sparse\]"):
        spmm(graph, values, torch.ones(3, 2), backend="torch-sparse")


@needs_torch_sparse
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # its own
def test_torch_sparse_gives_the_same_product_and_gradients():
    graph, values = rows_of(random_matrix(40, 30).astype(np.float32))
    x, grad = torch.randn(30, 8), torch.randn(40, 8)
    ours = gradients(graph, values, x, grad)
    theirs = gradients(graph, values, x, grad, backend="torch-sparse")
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
