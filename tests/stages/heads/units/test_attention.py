from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.heads.units import attention
from stages.heads.units.attention import mean_attention
from stages.heads.units.text import PADDED

H = 3


def drawn(entities, mentions, seed=0, dtype=torch.float64):
    """Queries of ragged entities; keys of ragged mentions, padded to the longest."""
    rng = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *np.cumsum(entities)])
    n_m = max(mentions)
    query = torch.randn(sum(entities), H, generator=rng, dtype=dtype)
    key = torch.randn(len(mentions) * n_m, H, generator=rng, dtype=dtype)
    padded = torch.arange(n_m) >= torch.tensor(mentions)[:, None]
    bias = torch.zeros(padded.shape, dtype=dtype).masked_fill(padded, PADDED).reshape(-1)
    return query, offsets, key, bias, n_m


def by_a_loop(query, offsets, key, bias, n_m):
    query, key, bias = (x.numpy() for x in (query, key, bias))
    found = np.zeros((len(offsets) - 1, len(key)))
    for e, (lo, hi) in enumerate(pairwise(offsets)):
        for first in range(0, len(key), n_m):
            for token in range(lo, hi):
                logits = [query[token] @ key[j] + bias[j] for j in range(first, first + n_m)]
                weights = np.exp(np.array(logits) - max(logits))
                found[e, first : first + n_m] += weights / weights.sum() / int(hi - lo)
    return found


def test_the_mean_attention_equals_a_plain_loop():
    x = drawn([1, 4, 2, 3], [2, 5, 1])
    np.testing.assert_allclose(mean_attention(*x).numpy(), by_a_loop(*x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("at_once", [1, 12, 1 << 19])
def test_the_gradient_equals_finite_differences(at_once, monkeypatch):
    monkeypatch.setattr(attention, "LOGITS_AT_ONCE", at_once)
    query, offsets, key, bias, n_m = drawn([1, 3, 2], [2, 3])

    def of(query, key):
        return mean_attention(query, offsets, key, bias, n_m)

    assert torch.autograd.gradcheck(of, [query.requires_grad_(), key.requires_grad_()])


lengths = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)
@given(lengths, lengths, st.integers(1, 400))
def test_blocks_of_any_size_give_the_same_values_and_gradients(entities, mentions, at_once):
    def run(size):
        query, offsets, key, bias, n_m = drawn(entities, mentions)
        query.requires_grad_(), key.requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "LOGITS_AT_ONCE", size)
            found = mean_attention(query, offsets, key, bias, n_m)
            (found * torch.arange(found.numel()).view_as(found)).sum().backward()
        return found.detach(), query.grad, key.grad

    for blocks, whole in zip(run(at_once), run(1 << 30), strict=True):
        torch.testing.assert_close(blocks, whole, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(lengths, lengths, st.sampled_from([torch.float32, torch.float64]))
def test_padded_tokens_get_exactly_nothing_and_the_others_one_in_all(entities, mentions, dtype):
    query, offsets, key, bias, n_m = drawn(entities, mentions, dtype=dtype)
    query.requires_grad_(), key.requires_grad_()
    found = mean_attention(query, offsets, key, bias, n_m)
    found.square().sum().backward()
    padded = bias != 0
    assert (found[:, padded] == 0).all()
    assert (found[:, ~padded] > 0).all()
    assert (key.grad[padded] == 0).all()
    sums = found.detach().view(len(entities), len(mentions), n_m).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
