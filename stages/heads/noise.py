"""Noise of a training batch of which this process has a share of the mentions."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_SHARE: ContextVar[tuple[int, slice] | None] = ContextVar("share", default=None)


@contextmanager
def share_of(whole: int, own: slice) -> Iterator[None]:
    """Mentions are rows `own` of a batch of `whole`."""
    token = _SHARE.set((whole, own))
    try:
        yield
    finally:
        _SHARE.reset(token)


def noise_like(x: Tensor) -> Tensor:
    """Standard normal noise of x's shape: what the rows have in the whole batch, of which each
    process draws all, so that how many share a batch moves none of it."""
    share = _SHARE.get()
    if share is None:
        return torch.randn_like(x)
    whole, own = share
    return torch.randn(whole, *x.shape[1:], dtype=x.dtype, device=x.device)[own]
