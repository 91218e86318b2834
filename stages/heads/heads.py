"""What training, ranking and linking ask of a model, MELOV or a baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from stages.features.features import Features, MentionInput
from stages.heads.matcher import Matcher, Scores
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side

M = TypeVar("M", bound=Side)
E = TypeVar("E", bound=Side)
M_in = TypeVar("M_in", bound=Side, contravariant=True)
E_in = TypeVar("E_in", bound=Side, contravariant=True)


@dataclass(frozen=True)
class Optimized:
    """What the optimisation of a batch of mentions (section 3.2) leaves besides their side.

    loss_g: the generation loss L_G.
    alpha: fusion weights of eq. 6 for the global feature, (n, sources); None where nothing is
        fused.
    fused: the global visual feature that the matcher takes, (n, d_v), and `sources`, those before
        the fusion by name; none without pictures.
    """

    loss_g: Tensor
    alpha: Tensor | None = None
    fused: Tensor | None = None
    sources: dict[str, Tensor] = field(default_factory=dict)

    def weights(self, sources: Sequence[str], n: int) -> list[dict[str, float] | None]:
        """`alpha` of each of n mentions by source."""
        if self.alpha is None:
            return [None] * n
        return [dict(zip(sources, row, strict=True)) for row in self.alpha.tolist()]


class Pairs(Protocol[M_in, E_in]):
    """Scores of all pairs of two sides, each made once."""

    def pairs(self, mentions: M_in, entities: E_in) -> Scores:
        """Scores of shape (mentions, entities)."""


class Heads(Protocol[M, E]):
    """An `nn.Module` with two sides that meet in `matcher.pairs`.

    tau: the threshold of eq. 4; None where there is no graph to cut.
    screened: the matcher, where it can bound its scores (`stages/ranking/screen.py`); else None.
    searched: the matcher, where it knows entities in eight bits (`stages/ranking/search.py`), and
        `entity_unit` then; else None.
    """

    config: HeadsConfig

    @property
    def matcher(self) -> Pairs[M, E]: ...
    @property
    def tau(self) -> Tensor | None: ...
    @property
    def screened(self) -> Matcher | None: ...
    @property
    def searched(self) -> Matcher | None: ...

    def mentions(self, batch: MentionInput) -> tuple[M, Optimized]:
        """The mentions' side, and the loss besides the contrastive one."""

    def entities(self, entities: Features) -> E:
        """The entities' side."""

    # Of nn.Module, as far as it is used.
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: dict[str, Tensor]) -> Any: ...
    def train(self) -> Self: ...
    def eval(self) -> Self: ...
    def to(self, device: torch.device) -> Self: ...
