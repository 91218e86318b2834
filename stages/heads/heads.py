"""What training, ranking and linking ask of a model, MELOV or a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from stages.features.features import Features
from stages.heads.matcher import Scores
from stages.heads.model import HeadsConfig, MentionInput, Optimized


class Pairs(Protocol):
    """Scores of all pairs of two sides, each made once."""

    def pairs(self, mentions: Any, entities: Any) -> Scores:
        """Scores of shape (mentions, entities)."""


class Heads(Protocol):
    """An `nn.Module` with two sides that meet in `matcher.pairs`.

    A side is whatever the matcher takes; nobody else looks into it.
    """

    config: HeadsConfig
    matcher: Pairs

    def mentions(self, batch: MentionInput) -> tuple[Any, Optimized]:
        """The mentions' side, and the loss besides the contrastive one."""

    def entities(self, entities: Features) -> Any:
        """The entities' side."""

    # Of nn.Module, as far as it is used.
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: dict[str, Tensor]) -> Any: ...
    def train(self) -> Self: ...
    def eval(self) -> Self: ...
    def to(self, device: torch.device) -> Self: ...
