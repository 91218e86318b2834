"""Processes that train one run together, each on a device of its own.

torchrun --nproc-per-node 2 -m pipeline.train --dataset wikimel

Each takes a share of a batch's mentions and tells them apart from the entities of all; gradients
are summed. So the batch, its negatives and its gradient are those of one process but for rounding.
The entities' side is made by each for itself: no feature is sent, and nothing of its gradient.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stages.device import heads_device
from stages.share import Share

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """size processes, of which this one is number `rank`."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process's part of n things."""
        return Share(self.rank, self.size).of_n(n)

    def summed(self, value: Tensor) -> Tensor:
        """Over all processes; without a gradient."""
        if self.size == 1:
            return value.detach()
        value = value.detach().clone()
        dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """By one message; a parameter without a gradient here has a zero one."""
        if self.size == 1:
            return
        own = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(p.new_zeros(p.shape) if p.grad is None else p.grad).flatten()
                          for p in own])  # fmt: skip
        dist.all_reduce(flat)
        for parameter, part in zip(own, flat.split([p.numel() for p in own]), strict=True):
            parameter.grad = part.view_as(parameter)

    def gathered(self, value: T) -> list[T]:
        """Every process's, in their order; to each of them."""
        if self.size == 1:
            return [value]
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]  # all are there now

    def of_first(self, value: T) -> T:
        """The first process's."""
        if self.size == 1:
            return value
        found: list[T] = [value]
        dist.broadcast_object_list(found)
        return found[0]


ALONE = Group()


@contextmanager
def training_group(device: str, environment: Mapping[str, str] | None = None) -> Iterator[Group]:
    """The group that `torchrun` started, or this process alone.

    Args:
        device: `train.device`; on CUDA each process has the one of its number on the machine.

    Raises:
        MelovError: the device is not available.
    """
    said = os.environ if environment is None else environment
    size = int(said.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    kind = heads_device(device).type
    if kind == "cuda":
        torch.cuda.set_device(int(said["LOCAL_RANK"]))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Group(int(said["RANK"]), size)
    finally:
        dist.destroy_process_group()
