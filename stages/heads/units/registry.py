"""The matcher's units: a unit is one class (see `unit.py`) and one entry here.

Imports no torch, so that the parameters may be checked against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.lazy import lazily

if TYPE_CHECKING:
    from stages.heads.settings import HeadsConfig
    from stages.heads.units.unit import MatcherUnit


@dataclass(frozen=True)
class UnitEntry:
    """Args:
    build: makes the unit for a configuration.
    reads: besides global texts: `tokens`, `pictures`, `patches`, or the name of a record array
        (see `stages/encode/record_arrays`), which the store's layout and the batches then hold.
    encoded: whether it reads anything of the encoders; False where the record arrays are all.
    weighs_prior: whether it has a use for the entities' `prior`, where the knowledge base says one.
    """

    build: Callable[[HeadsConfig], MatcherUnit[Any, Any]]
    reads: tuple[str, ...]
    encoded: bool = True
    weighs_prior: bool = False


UNITS: dict[str, UnitEntry] = {
    "text": UnitEntry(lazily("stages.heads.units.text:TextUnit"), ("tokens",)),
    "vision": UnitEntry(lazily("stages.heads.units.vision:VisionUnit"), ("pictures", "patches")),
    "cross": UnitEntry(lazily("stages.heads.units.cross:CrossUnit"), ("patches",)),
    "lexical": UnitEntry(
        lazily("stages.heads.units.lexical:LexicalUnit"),
        ("lexical", "words"),
        encoded=False,
        weighs_prior=True,
    ),
    "further": UnitEntry(lazily("stages.heads.units.further:FurtherUnit"), ()),
}
"""By name, in the order in which scores are summed."""
