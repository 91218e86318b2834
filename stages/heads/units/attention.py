"""Attention of many queries over many mentions, averaged by entity: P̄ of the text unit.

The logits of a batch are the largest tensor of training by far (tokens x tokens for every pair), so
they never exist as a whole: blocks of a few hundred thousand are made, used while they are in the
cache, and made again in the backward pass. That is several times faster than autograd's whole
tensors, and memory stays at the size of P̄.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LOGITS_AT_ONCE = 1 << 19
"""Two float32 blocks of this size fit the second-level cache of a current core, or nearly."""


def mean_attention(query: Tensor, offsets: Tensor, key: Tensor, bias: Tensor, n_m: int) -> Tensor:
    """Mean over each entity's tokens of the softmax over each mention's tokens of query · key.

    Shapes:
        query: (tokens, h), entity after entity; offsets: (e + 1,) where each entity's tokens lie.
        key: (m n_m, h), mention after mention; bias: (m n_m,), added to the logits.
        returns (e, m n_m); rows of n_m sum to 1
    """
    return _MeanAttention.apply(query, key, bias, offsets, n_m)  # type: ignore[no-untyped-call]  # torch's


class _MeanAttention(torch.autograd.Function):
    """P̄ = S softmax(Q Kᵀ + b) with S the averaging matrix of the entities."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, bias: Tensor, offsets: Tensor, n_m: int
    ) -> Tensor:
        ctx.save_for_backward(query, key, bias)
        ctx.offsets, ctx.n_m = offsets, n_m
        result = query.new_empty(len(offsets) - 1, len(key))
        for entities, tokens, mean in _blocks(offsets, len(key), query):
            attention = _attention(query[tokens], key, bias, n_m)
            torch.mm(mean, attention, out=result[entities])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, bias = ctx.saved_tensors
        grad_query, grad_key = torch.empty_like(query), torch.zeros_like(key)
        for entities, tokens, mean in _blocks(ctx.offsets, len(key), query):
            rows = query[tokens]
            attention = _attention(rows, key, bias, ctx.n_m)
            of_attention = mean.T @ grad[entities]
            # The softmax's Jacobian: dL = P ∘ (dP - Σ P ∘ dP), by mention.
            of_attention.mul_(attention)
            along = of_attention.view(-1, ctx.n_m).sum(-1, keepdim=True)
            of_logits = of_attention.view(-1, ctx.n_m).addcmul_(
                attention.view(-1, ctx.n_m), along, value=-1
            )
            of_logits = of_logits.view(len(rows), -1)
            torch.mm(of_logits, key, out=grad_query[tokens])
            grad_key.addmm_(of_logits.T, rows)
        return grad_query, grad_key, None, None, None


def _attention(query: Tensor, key: Tensor, bias: Tensor, n_m: int) -> Tensor:
    logits = torch.addmm(bias, query, key.T)
    return logits.view(-1, n_m).softmax(-1).view(len(query), -1)


def _blocks(offsets: Tensor, width: int, like: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Runs of whole entities, their tokens, and the block of S: (entities, tokens)."""
    ends = offsets.tolist()
    most = max(1, LOGITS_AT_ONCE // max(1, width))
    lo = 0
    while lo + 1 < len(ends):
        hi = lo + 1
        while hi + 1 < len(ends) and ends[hi + 1] - ends[lo] <= most:
            hi += 1
        counts = offsets[lo : hi + 1].diff()
        owner = torch.arange(hi - lo, device=like.device).repeat_interleave(counts)
        mean = like.new_zeros(hi - lo, ends[hi] - ends[lo])
        mean[owner, torch.arange(len(owner), device=like.device)] = (1 / counts.to(like))[owner]
        yield slice(lo, hi), slice(ends[lo], ends[hi]), mean
        lo = hi
