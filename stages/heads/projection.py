"""Linear layers on cached features: frozen, float16 as stored, and many rows for few outputs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stages.heads.precision import add_product, of_products, rounded

ROWS_AT_ONCE = 2048
"""Rows widened at a time: a few megabytes, which the processor's caches hold."""


def project(x: Tensor, layer: nn.Linear) -> Tensor:
    """x Wᵀ + b in the precision of W, its products in that of `products_in`.

    x is widened block by block, forward and again backward, so a batch of patches never exists in
    float32, and it gets no gradient: it is the encoders' output.

    Shapes:
        x: (..., d), any float dtype -> (..., d_v)
    """
    return _Project.apply(x, layer.weight, layer.bias)  # type: ignore[no-untyped-call]  # torch's


class _Project(torch.autograd.Function):
    """y = x Wᵀ + b; dL/dW = gᵀ x, dL/db = Σ g, nothing for x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.dtype = dtype = of_products(weight)
        rows, own = x.reshape(-1, x.shape[-1]), weight.to(dtype)
        result = weight.new_empty(len(rows), len(weight))
        for lo in range(0, len(rows), ROWS_AT_ONCE):
            block = rounded(rows[lo : lo + ROWS_AT_ONCE], dtype)
            to = result[lo : lo + ROWS_AT_ONCE]
            if dtype == weight.dtype:
                torch.addmm(bias, block, own.T, out=to)
            else:
                torch.add(block @ own.T, bias, out=to)
        return result.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        rows, grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        of_weight = grad.new_zeros(grad.shape[1], rows.shape[1])
        for lo in range(0, len(rows), ROWS_AT_ONCE):
            block = rounded(rows[lo : lo + ROWS_AT_ONCE], ctx.dtype)
            add_product(of_weight, grad[lo : lo + ROWS_AT_ONCE].T.to(ctx.dtype), block)
        return None, of_weight, grad.sum(0)
