import pytest
import torch
from torch import nn

from stages.heads import projection
from stages.heads.projection import project


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(7, 3)


def gradients(layer, y, grad):
    return torch.autograd.grad(y, (layer.weight, layer.bias), grad)


@pytest.mark.parametrize("rows", [1, 4, 5, 100])
@pytest.mark.parametrize("shape", [(6,), (3, 5), (0,), (11,)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_blocks_of_stored_features_give_what_the_layer_gives(
    layer, monkeypatch, rows, shape, dtype
):
    monkeypatch.setattr(projection, "ROWS_AT_ONCE", rows)
    x, grad = torch.randn(*shape, 7).to(dtype), torch.randn(*shape, 3)
    ours, plain = project(x, layer), layer(x.float())
    torch.testing.assert_close(ours, plain)
    for a, b in zip(gradients(layer, ours, grad), gradients(layer, plain, grad), strict=True):
        torch.testing.assert_close(a, b)


def test_a_gradient_that_comes_transposed_counts_as_its_copy(layer):
    x, grad = torch.randn(5, 7), torch.randn(3, 5).t()
    for a, b in zip(
        gradients(layer, project(x, layer), grad),
        gradients(layer, project(x, layer), grad.contiguous()),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
