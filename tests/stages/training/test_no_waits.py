"""A step of training never waits for the device: the host is always ahead of a GPU."""

import numpy as np
import pytest
import torch

from stages.heads.units import attention
from stages.training.step import Losses, load_batch, train_step
from tests.support.small_runs import run_data, small
from tests.support.waits import WaitError, no_waits

PARTS = ("melov", "no-inter", "no-intra", "no-tau", "filter", "mimic")
BASELINES = ("bert", "blink", "jmel", "velml", "ghmfc")


def prepared(opened, variant, **changes):
    config = small(**changes)
    data, heads = run_data(opened, config, variant)
    model = heads.entry.build(heads).train()
    # AdamW's own counters of steps lie on the host wherever the weights are; this one has none.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    rows, gold = np.arange(12), data.gold["train"]
    hard = (gold[rows, None] + 3 + np.arange(2)) % 20
    batch = load_batch(data.inputs, rows, gold[rows], hard)
    train_step(model, optimizer, batch, config)  # what is done once a process
    return model, optimizer, batch, config


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", PARTS + BASELINES)
def test_a_step_does_not_wait(opened, variant, precision):
    model, optimizer, batch, config = prepared(opened, variant, precision=precision)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    losses = Losses("a test")
    with no_waits():
        for _ in range(Losses.CHECKED - 1):
            losses.add(train_step(model, optimizer, batch, config), 1 / 12)
    assert np.isfinite(losses.read()["loss"])
    assert any(not weight.equal(before[name]) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": "sym"}, {"normalization": "none"}, {"adapter": "mlp", "dropout": 0.2},
        {"frozen_scale": 3.0, "adapter": "mlp"}, {"label_smoothing": 0.1}, {"gcn_layers": 1},
    ],
    ids=str,
)  # fmt: skip
def test_nor_does_it_with_other_settings(opened, changes):
    model, optimizer, batch, config = prepared(opened, "melov", **changes)
    with no_waits():
        train_step(model, optimizer, batch, config)


def test_what_cuts_the_attention_into_blocks_would_wait(opened, monkeypatch):
    monkeypatch.setattr(attention, "LOGITS_AT_ONCE", 64)
    model, optimizer, batch, config = prepared(opened, "mimic")
    with pytest.raises(WaitError, match="tolist"), no_waits():
        train_step(model, optimizer, batch, config)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.sum()), lambda x: x.tolist(), lambda x: x[x > 0], lambda x: bool(x[0]),
        lambda x: x.nonzero(), lambda x: x.numpy(), lambda x: x.sum().item(),
        lambda x: torch.arange(3).repeat_interleave(x.long()), lambda x: x.long().bincount(),
        lambda x: x.masked_select(x > 0), lambda x: torch.tensor([1.0]),
        lambda x: x.index_put_((x > 0,), x.new_zeros(())),
    ],
)  # fmt: skip
def test_waits_are_noticed(wait):
    with pytest.raises(WaitError), no_waits():
        wait(torch.ones(3))
    wait(torch.ones(3))


class _WaitsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * grad.nonzero().shape[0]


def test_waits_of_a_backward_pass_are_noticed():
    loss = _WaitsBackward.apply(torch.ones(3, requires_grad=True)).sum()
    with pytest.raises(WaitError, match="nonzero"), no_waits():
        loss.backward()
