"""Attention of many queries over many mentions, averaged by entity: P̄ of the text unit.

The logits of a batch are the largest tensor of training by far (tokens x tokens for every pair), so
they never exist as a whole: blocks of a few hundred thousand are made, used while they are in the
cache, and made again in the backward pass. That is several times faster than autograd's whole
tensors, and memory stays at the size of P̄.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stages.heads.precision import add_product, of_products

LOGITS_AT_ONCE = 1 << 19
"""On a CPU: two float32 blocks of this size fit the second-level cache of a current core, or
nearly."""
ON_A_GPU = 1 << 26
"""There the pairs of a training batch are one block, of 256 MB at most, which needs no number from
the device to be cut."""


def mean_attention(query: Tensor, offsets: Tensor, key: Tensor, bias: Tensor, n_m: int) -> Tensor:
    """Mean over each entity's tokens of the softmax over each mention's tokens of query · key.

    Shapes:
        query: (tokens, h), entity after entity; offsets: (e + 1,) where each entity's tokens lie.
        key: (m n_m, h), mention after mention; bias: (m n_m,), added to the logits.
        returns (e, m n_m); rows of n_m sum to 1
    """
    return _MeanAttention.apply(query, key, bias, offsets, n_m)  # type: ignore[no-untyped-call]  # torch's


class _MeanAttention(torch.autograd.Function):
    """P̄ = S softmax(Q Kᵀ + b) with S the averaging matrix of the entities. Products are those of
    `products_in`; softmax and its Jacobian are the bias's precision."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, bias: Tensor, offsets: Tensor, n_m: int
    ) -> Tensor:
        dtype = of_products(query)
        query, key = query.to(dtype), key.to(dtype)
        ctx.save_for_backward(query, key, bias)
        ctx.offsets, ctx.n_m = offsets, n_m
        result = bias.new_empty(len(offsets) - 1, len(key))
        for block in _blocks(offsets, len(query), len(key), bias):
            attention = _attention(query[block.tokens], key, bias, n_m)
            block.mean(attention, dtype, out=result[block.entities])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, bias = ctx.saved_tensors
        grad_query, grad_key = bias.new_empty(query.shape), bias.new_zeros(key.shape)
        for block in _blocks(ctx.offsets, len(query), len(key), bias):
            rows = query[block.tokens]
            attention = _attention(rows, key, bias, ctx.n_m)
            of_attention = (grad[block.entities] * block.share[:, None])[block.owner]
            # The softmax's Jacobian: dL = P ∘ (dP - Σ P ∘ dP), by mention.
            of_attention.mul_(attention)
            along = of_attention.view(-1, ctx.n_m).sum(-1, keepdim=True)
            of_logits = of_attention.view(-1, ctx.n_m).addcmul_(
                attention.view(-1, ctx.n_m), along, value=-1
            )
            of_logits = of_logits.view(len(rows), -1).to(query.dtype)
            grad_query[block.tokens] = of_logits @ key
            add_product(grad_key, of_logits.T, rows)
        return grad_query, grad_key, None, None, None


def _attention(query: Tensor, key: Tensor, bias: Tensor, n_m: int) -> Tensor:
    """Shape: (tokens, m n_m), in the bias's precision."""
    if query.dtype == bias.dtype:
        logits = torch.addmm(bias, query, key.T)
    else:
        logits = (query @ key.T).to(bias.dtype).add_(bias)
    return logits.view(-1, n_m).softmax(-1).view(len(query), -1)


@dataclass(frozen=True)
class _Block:
    """Some whole entities.

    owner: (tokens,), which of them each token belongs to; share: (entities,), 1 / its tokens.
    """

    entities: slice
    tokens: slice
    owner: Tensor
    share: Tensor

    def mean(self, x: Tensor, dtype: torch.dtype, out: Tensor) -> None:
        """The entities' means of their tokens' rows, S x, into `out`."""
        place = torch.arange(len(self.owner), device=x.device)
        s = x.new_zeros(len(self.share), len(x), dtype=dtype)
        if dtype == x.dtype:
            s[self.owner, place] = self.share[self.owner]
            torch.mm(s, x, out=out)
        else:
            s[self.owner, place] = 1  # exact in any precision, as a share is not
            torch.mul(s @ x.to(dtype), self.share[:, None], out=out)


def _blocks(offsets: Tensor, tokens: int, width: int, like: Tensor) -> Iterator[_Block]:
    """Blocks of whole entities, of at most so many logits where an entity has no more."""
    at_once = LOGITS_AT_ONCE if like.device.type == "cpu" else ON_A_GPU
    most = max(1, at_once // max(1, width))
    if 0 < tokens <= most:
        yield _block(offsets, 0, len(offsets) - 1, slice(0, tokens), like)
        return
    ends = offsets.tolist()
    lo = 0
    while lo + 1 < len(ends):
        hi = lo + 1
        while hi + 1 < len(ends) and ends[hi + 1] - ends[lo] <= most:
            hi += 1
        yield _block(offsets, lo, hi, slice(ends[lo], ends[hi]), like)
        lo = hi


def _block(offsets: Tensor, lo: int, hi: int, tokens: slice, like: Tensor) -> _Block:
    counts = offsets[lo : hi + 1].diff()
    rows = torch.arange(hi - lo, device=like.device)
    # The device is not asked how many there are.
    owner = rows.repeat_interleave(counts, output_size=tokens.stop - tokens.start)
    return _Block(slice(lo, hi), tokens, owner, 1 / counts.to(like))
