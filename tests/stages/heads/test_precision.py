"""Products in bfloat16 against float64, and that nothing else is rounded."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.heads import projection
from stages.heads.precision import Linear, linear, linears, of_products, products_in, rounded
from stages.heads.projection import project
from stages.heads.units import attention
from stages.heads.units.attention import mean_attention

ROUNDING = 2**-8
"""Half an ulp of bfloat16, twice."""


def assert_rounded(found, exact, terms=1.0):
    """Within what rounding factors and result to bfloat16 may do to a sum of products.

    Args:
        terms: Σ |a_i b_i| over the largest result.
    """
    error = (found.double() - exact).abs().max() / exact.abs().max()
    assert 0 < error < 3 * ROUNDING * terms, float(error)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Linear(64, 32)


def both(layer, x, grad, call):
    """y, dL/dx, dL/dW, dL/db by `call` in bfloat16, and by torch in float64."""
    x = x.detach().requires_grad_(x.dtype == torch.float32)
    wide = x.detach().double().requires_grad_(x.requires_grad)
    exact = nn.Linear(64, 32).double()
    exact.load_state_dict(layer.state_dict())
    with products_in("bfloat16"):
        y = call(x)
    plain = exact(wide)
    to = [x] if x.requires_grad else []
    of = [wide] if x.requires_grad else []
    ours = torch.autograd.grad(y, [*to, layer.weight, layer.bias], grad)
    theirs = torch.autograd.grad(plain, [*of, exact.weight, exact.bias], grad.double())
    return (y, *ours), (plain, *theirs)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
def test_a_layers_value_and_gradients_are_those_of_rounded_factors(layer, shape):
    x, grad = torch.randn(*shape, 64), torch.randn(*shape, 32)
    ours, exact = both(layer, x, grad, layer)
    for found, wanted in zip(ours[:-1], exact[:-1], strict=True):
        assert found.dtype == torch.float32
        assert_rounded(found, wanted, terms=4)
    torch.testing.assert_close(ours[-1], exact[-1].float())  # a sum, not a product


def test_factors_that_bfloat16_has_lose_the_results_rounding_alone(layer):
    whole = nn.Linear(64, 32)
    with torch.no_grad():
        for of in (layer, whole):
            of.weight.copy_(torch.arange(-32.0, 32) / 8)
            of.bias.fill_(1 / 3)
    x = torch.randint(-8, 8, (5, 64)).float()
    with products_in("bfloat16"):
        y = layer(x)
    exact = x.double() @ layer.weight.double().T
    torch.testing.assert_close(y, exact.bfloat16().float() + 1 / 3, rtol=0, atol=0)


@pytest.mark.parametrize("rows", [2, 2048])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_stored_features_are_projected_in_bfloat16_block_by_block(layer, monkeypatch, rows, dtype):
    monkeypatch.setattr(projection, "ROWS_AT_ONCE", rows)
    x, grad = torch.randn(11, 64).to(dtype), torch.randn(11, 32)
    with products_in("bfloat16"):
        y = project(x, layer)
    ours = (y, *torch.autograd.grad(y, [layer.weight, layer.bias], grad))
    plain = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    exact = (plain, grad.double().T @ x.double(), grad.double().sum(0))
    for found, wanted in zip(ours[:2], exact[:2], strict=True):
        assert found.dtype == torch.float32
        assert_rounded(found, wanted, terms=4)
    torch.testing.assert_close(ours[2], exact[2].float())


@pytest.mark.parametrize("at_once", [12, 1 << 19])
def test_attention_in_bfloat16_and_its_gradients(monkeypatch, at_once):
    monkeypatch.setattr(attention, "LOGITS_AT_ONCE", at_once)
    torch.manual_seed(0)
    offsets, n_m = torch.tensor([0, 1, 5, 8]), 4
    query, key = torch.randn(8, 16), torch.randn(3 * n_m, 16) / 4
    bias = torch.zeros(3 * n_m).index_fill(0, torch.tensor([7, 11]), -1e9)
    grad = torch.randn(3, 3 * n_m)

    def of(query, key, precision):
        query, key = query.requires_grad_(), key.requires_grad_()
        with products_in(precision):
            mean = mean_attention(query, offsets, key, bias.to(query), n_m)
        return mean.detach(), *torch.autograd.grad(mean, [query, key], grad.to(mean))

    ours = of(query.clone(), key.clone(), "bfloat16")
    exact = of(query.double(), key.double(), "float32")
    for found, wanted in zip(ours, exact, strict=True):
        assert found.dtype == torch.float32
        assert_rounded(found, wanted, terms=8)
    assert (ours[0].view(3, 3, n_m)[:, 1, 3] == 0).all()  # padding


@pytest.mark.parametrize("bias", [True, False])
def test_several_layers_at_once_are_each_by_itself(bias):
    torch.manual_seed(0)
    layers = [Linear(64, 32, bias=bias), Linear(64, 5, bias=bias)]
    x = torch.randn(2, 7, 64, requires_grad=True)
    for a, b in zip(linears(x, *layers), [layer(x) for layer in layers], strict=True):
        torch.testing.assert_close(a, b)
        grads = (torch.autograd.grad(y.square().sum(), x, retain_graph=True)[0] for y in (a, b))
        torch.testing.assert_close(*grads)


def test_outside_nothing_is_rounded(layer):
    x = torch.randn(9, 64)
    with products_in("float32"):
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=0, atol=0)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=0, atol=0)


def test_an_error_within_leaves_nothing_behind(layer):
    with pytest.raises(ZeroDivisionError), products_in("bfloat16"):
        1 / 0  # noqa: B018
    assert of_products(layer.weight) == torch.float32


def test_the_backward_pass_is_the_forward_ones(layer):
    """It runs outside of the context."""
    x, grad = torch.randn(9, 64), torch.randn(9, 32)
    with products_in("bfloat16"):
        y = layer(x)
    with products_in("float32"):
        (found,) = torch.autograd.grad(y, [layer.weight], grad)
    wanted = (grad.bfloat16().T @ x.bfloat16()).float()
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_layer_of_float64_stays(layer):
    wide = Linear(64, 32).double()
    x = torch.randn(3, 64).double()
    torch.testing.assert_close(linear(x, wide.weight, wide.bias), wide(x), rtol=0, atol=0)


def test_float16_comes_to_bfloat16_as_by_torch():
    every = torch.from_numpy(np.arange(2**16, dtype=np.uint16).view(np.float16).copy())
    every = every[torch.isfinite(every)]
    assert torch.equal(rounded(every, torch.bfloat16), every.to(torch.bfloat16))
