"""What a unit of the matcher is: one class here and one entry in `registry.py`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.side import Side

M = TypeVar("M", bound=Side)
E = TypeVar("E", bound=Side)


@dataclass(frozen=True)
class Scale:
    """What a term that nothing else is learned in is multiplied by.

    is_log: whether the parameter is its logarithm.
    """

    parameter: nn.Parameter
    is_log: bool

    @torch.no_grad()
    def multiply(self, factor: float) -> None:
        """By a number above 0."""
        if self.is_log:
            self.parameter.add_(math.log(factor))
        else:
            self.parameter.mul_(factor)


def summed(terms: Mapping[str, Tensor]) -> Tensor:
    """One after the other, so that the sum has the same bits everywhere."""
    first, *others = terms.values()
    for term in others:
        first = first + term
    return first


class MatcherUnit(Protocol[M, E]):
    """An `nn.Module` built from a `HeadsConfig`, with two sides that meet in `pairs`.

    The features that it gets have passed the matcher's layer norms LN_t, LN_T, LN_v and LN_V, and
    their pictures are projected to d_v.
    """

    def reset_parameters(self) -> None:
        """Draw the weights, and set the score's scale at the start."""

    def mention_side(self, x: Features) -> M: ...
    def entity_side(self, x: Features) -> E: ...

    def pairs(self, mentions: M, entities: E) -> Tensor:
        """Scores, shape: (mentions, entities)."""


@runtime_checkable
class TermedUnit(Protocol):
    """A unit whose score is a sum, each term of which says something by itself to a re-ranking.

    term_names: of `terms`, in their order.
    scales: of those that are cached similarities by themselves, times one number.
    """

    @property
    def term_names(self) -> tuple[str, ...]: ...
    @property
    def scales(self) -> dict[str, Scale]: ...

    def terms(self, mentions: Any, entities: Any) -> dict[str, Tensor]:
        """By name, each of shape (m, e); `pairs` is their sum in this order."""


@runtime_checkable
class BoundedUnit(Protocol):
    """A unit whose score is `cheap + weight × costly`, with an upper bound of what is costly.

    Ranking then spares most pairs the costly part; see `stages/ranking/screen.py`.
    """

    weight: float

    def cheap(self, mentions: Any, entities: Any) -> dict[str, Tensor]:
        """Terms of all pairs, each of shape (m, e): `TermedUnit.terms`, of which the first lacks
        what is costly."""

    def costly(self, mentions: Any, entities: Any) -> Tensor:
        """Of all pairs, shape: (m, e)."""

    def costly_at(self, mentions: Any, entities: Any, i: Tensor, j: Tensor) -> Tensor:
        """Of the pairs (i, j) alone: rows of mentions and of entities, each (p,) -> (p,)."""

    def mention_bounds(self, mentions: Any) -> Any: ...
    def entity_bounds(self, entities: Any) -> Any: ...

    def bound(self, mentions: Any, entities: Any) -> Tensor:
        """At least `costly` of all pairs, of what the two methods above made; shape: (m, e)."""


@runtime_checkable
class CodedUnit(Protocol):
    """A unit with an upper bound of its whole score from entities in eight bits (`codes.py`).

    Linking then reads some hundred bytes an entity, and scores few of them exactly; see
    `stages/ranking/search.py`.
    """

    def codes(self, entities: Any) -> Side:
        """The entities' side in eight bits."""

    def reach(self, mentions: Any) -> Any:
        """What the bound needs of the mentions' side."""

    def at_most(self, mentions: Any, entities: Any) -> Tensor:
        """At least `pairs` of all pairs, of what the two methods above made; shape: (m, e)."""


@runtime_checkable
class NarrowedUnit(CodedUnit, Protocol):
    """A coded unit that can say more of a few pairs, before it reads the entities themselves."""

    def excess(self, mention: Any, entities: Any) -> Tensor:
        """What `at_most` is too high by at least, for one mention and the entities in eight bits,
        shape: (e,)."""
