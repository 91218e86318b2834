"""Products of training in bfloat16; weights, sums over terms, norms, softmax and losses in float32.

    with products_in("bfloat16"):
        loss = ...      # its backward pass follows it, wherever it runs

A product of two float32 matrices is one of their bfloat16 roundings, summed in float32 and rounded
to bfloat16: relative errors of 2⁻⁹, which training does not see (docs/results.md) and which ranks
would, so ranking has none of it. Torch's own autocast would hand bfloat16 on to norms and softmax.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from stages.device import DTYPES

_OF_PRODUCTS: ContextVar[torch.dtype | None] = ContextVar("of_products", default=None)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Large products of the heads in `precision`, `float32` being the weights' own."""
    token = _OF_PRODUCTS.set(None if precision == "float32" else DTYPES[precision])
    try:
        yield
    finally:
        _OF_PRODUCTS.reset(token)


def of_products(weight: Tensor) -> torch.dtype:
    """What a product with `weight` is computed in here."""
    return _OF_PRODUCTS.get() or weight.dtype


def rounded(x: Tensor, to: torch.dtype) -> Tensor:
    """`x` in the precision of a product. Of float16 by way of float32, which is five times as fast
    as the way that torch takes to bfloat16 on a CPU."""
    if x.dtype == torch.float16 and to == torch.bfloat16:
        x = x.float()
    return x.to(to)


def add_product(to: Tensor, a: Tensor, b: Tensor) -> None:
    """to += a b, in the precision of `to`."""
    if a.dtype == to.dtype:
        to.addmm_(a, b)
    else:
        to += a @ b


class Linear(nn.Linear):
    """torch's, whose products are those of `products_in`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b in the weights' precision, its products in that of `products_in`.

    Shapes:
        x: (..., d), weight: (d_out, d), bias: (d_out,) -> (..., d_out)
    """
    dtype = of_products(weight)
    if dtype == weight.dtype:
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias, dtype)  # type: ignore[no-untyped-call]  # torch's


def linears(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What several layers make of one input, by one product.

    Shapes:
        x: (..., d) -> (..., d_out) of each layer
    """
    weights: list[Tensor] = [layer.weight for layer in layers]
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    weight = torch.cat(weights)
    y = linear(x, weight, torch.cat(biases) if biases else None)
    return y.split([len(layer.weight) for layer in layers], -1)


class _Linear(torch.autograd.Function):
    """y = x Wᵀ + b; dL/dx = g W, dL/dW = gᵀ x, dL/db = Σ g. x is kept as it was multiplied, in
    half of its memory."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        rows, half = rounded(x.reshape(-1, x.shape[-1]), dtype), weight.to(dtype)
        ctx.save_for_backward(rows, half)
        result = (rows @ half.T).to(weight.dtype)
        if bias is not None:
            result += bias
        return result.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, half = ctx.saved_tensors
        of_y = grad.reshape(-1, grad.shape[-1])
        rounded_grad = of_y.to(half.dtype)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = (rounded_grad @ half).to(grad.dtype).view(*grad.shape[:-1], rows.shape[1])
        if ctx.needs_input_grad[1]:
            of_weight = (rounded_grad.T @ rows).to(grad.dtype)
        if ctx.needs_input_grad[2]:
            of_bias = of_y.sum(0)
        return of_x, of_weight, of_bias, None
