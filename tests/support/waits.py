"""What makes the host wait for a GPU, told on a CPU: calls that read a tensor's numbers, operations
whose result's shape depends on them, and copies of the host's numbers to the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READ = {
    "aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.bincount",
    "aten._unique", "aten._unique2", "aten.unique_dim", "aten.unique_consecutive", "aten.equal",
    "aten.histc", "aten.is_nonzero",
}  # fmt: skip
"""Operations that wait on CUDA, whatever they are given."""
METHODS = ("tolist", "numpy", "item", "cpu", "__array__", "__bool__", "__int__", "__float__")
FROM_THE_HOST = ("from_numpy", "tensor", "as_tensor")


class WaitError(AssertionError):
    """The host would wait for the device here."""


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(func.overloadpacket)
        waits = name in READ
        if name == "aten.repeat_interleave":
            waits = kwargs.get("output_size") is None and isinstance(args[-1], Tensor)
        if name.startswith(("aten.index", "aten.index_put", "aten._index_put")) and len(args) > 1:
            by = args[1] if isinstance(args[1], list | tuple) else [args[1]]
            waits |= any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in by)
        if waits:
            raise WaitError(f"{name} waits for the device")
        return func(*args, **kwargs)


@contextmanager
def no_waits() -> Iterator[None]:
    """Raises WaitError at what would wait."""

    def refused(name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            raise WaitError(f"{name} waits for the device")

        return call

    with pytest.MonkeyPatch.context() as patch, _Operations():
        for name in METHODS:
            patch.setattr(Tensor, name, refused(f"Tensor.{name}"))
        for name in FROM_THE_HOST:
            patch.setattr(torch, name, refused(f"torch.{name}"))
        yield
