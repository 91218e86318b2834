"""Vectors in eight bits: what is said to be lost is at least what is lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.heads.units import codes as module
from stages.heads.units.codes import Codes, Planes, integer_products, lost, products, rounding

FINITE = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def rows(n, d):
    return arrays(np.float32, (n, d), elements=FINITE)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_no_product_is_further_off_than_is_said(data, d):
    m = torch.from_numpy(data.draw(rows(3, d)))
    x = torch.from_numpy(data.draw(rows(4, d)))
    planes, coded = Planes.of(m), Codes.of(x)
    found = products(planes, coded).double()
    exact, kept = m.double() @ x.double().T, m.double() @ coded.rows.double().T
    tiny = 1e-30  # what float32 cannot tell from 0
    assert ((exact - found).abs() <= lost(planes, coded).double() + tiny).all()
    assert ((kept - found).abs() <= rounding(planes, coded).double() + tiny).all()


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 96), (130, 512)])
def test_a_row_of_normal_numbers_loses_less_than_a_fiftieth(n, d):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    coded = Codes.of(x)
    assert coded.codes.dtype == torch.int8
    assert ((x - coded.rows).norm(dim=1) <= coded.lost).all()
    assert (coded.lost <= 0.02 * x.norm(dim=1)).all()


def test_rows_of_zeros_are_exact():
    coded, planes = Codes.of(torch.zeros(2, 5)), Planes.of(torch.zeros(1, 5))
    assert not coded.lost.any()
    assert not products(Planes.of(torch.ones(1, 5)), coded).any()
    assert not lost(planes, coded).any()


@pytest.mark.parametrize(("m", "n", "d"), [(1, 1, 1), (2, 9, 96), (54, 33, 17), (3, 5, 1500)])
def test_integer_products_are_exact(m, n, d):
    generator = torch.Generator().manual_seed(m)
    a, b = (torch.randint(-127, 128, (k, d), generator=generator, dtype=torch.int8) for k in (m, n))
    b[0] = a[0] = 127  # the largest sum there can be
    assert torch.equal(integer_products(a, b).double(), a.double() @ b.double().T)


@pytest.mark.parametrize("shape", [(6, 4, 1), (1, 4, 1), (6, 1, 1), (6, 1, 96), (1, 9, 8)])
def test_sides_of_length_one_may_have_any_stride(shape):
    m, n, d = shape
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = torch.randint(-127, 128, (m + n, d), generator=generator, dtype=torch.int8)
        a, b = drawn[:m].T.contiguous().T, drawn[m:].T.contiguous().T
        assert torch.equal(integer_products(a, b).double(), a.double() @ b.double().T)


def test_integer_products_of_another_device_are_exact_too(monkeypatch):
    class Elsewhere(torch.Tensor):
        @property
        def device(self):
            return torch.device("meta")

    a = torch.full((2, 1024), 127, dtype=torch.int8)
    found = module.integer_products(a.as_subclass(Elsewhere), a)
    assert (found == 127 * 127 * 1024).all()
