"""The matcher: the multi-grained interaction of section 3.3, after MIMIC (Luo et al., 2023).

One implementation serves training and full-KB ranking: each side's terms once
(`mention_side`, `entity_side`), then all pairs (`pairs`). With full-length inputs and equal
weights the scores are MIMIC's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.initial import scale_norm
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side
from stages.heads.units.registry import UNITS
from stages.heads.units.unit import BoundedUnit, CodedUnit, MatcherUnit, Scale, TermedUnit, summed


@dataclass(frozen=True)
class Scores:
    """Scores of all pairs, each of shape (mentions, entities)."""

    total: Tensor
    """S, the mean of the units in use."""
    units: dict[str, Tensor]
    """S_T, S_V, S_C, S_L by unit name."""
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    """What the units' scores are the sums of, as far as that is known."""


@dataclass(frozen=True)
class UnitSides(Side):
    """A batch of mentions or of entities as the pairs need it: each unit's side by name."""

    units: Mapping[str, Side]


class Matcher(nn.Module):
    """S and each unit's score for all pairs of a batch of mentions and a batch of entities.

    Inputs are `Features` whose images are already projected to d_v.

    Args:
        config: d_t, d_local, d_v and d_h are the widths of global texts, tokens, projected image
            features, and inside the units.

    Raises:
        ValueError: a configuration without a unit.
    """

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        if not config.units:
            raise ValueError(f"Matcher: no units; choose one or more of {', '.join(UNITS)}")
        read = {name for unit in config.units for name in UNITS[unit].reads}
        self.logit_scale = config.logit_scale
        self.ln_t = nn.LayerNorm(config.d_t)
        self.ln_T = nn.LayerNorm(config.d_local) if "tokens" in read else None
        self.ln_v = nn.LayerNorm(config.d_v) if "pictures" in read else None
        self.ln_V = nn.LayerNorm(config.d_v) if "patches" in read else None
        units = {name: UNITS[name].build(config) for name in config.units}
        self.units = nn.ModuleDict(cast(dict[str, nn.Module], units))  # a unit is a module, too
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for norm in (self.ln_t, self.ln_T, self.ln_v, self.ln_V):
            if norm is not None:
                norm.reset_parameters()
        scale_norm(self.ln_t, self.logit_scale)
        for unit in self._units().values():
            unit.reset_parameters()

    def _units(self) -> dict[str, Any]:
        # nn.ModuleDict knows its values as nn.Module alone; each is a `MatcherUnit`.
        return dict(self.units.items())

    def unit(self, name: str) -> MatcherUnit[Any, Any]:
        """One of those in use."""
        found: MatcherUnit[Any, Any] = self._units()[name]
        return found

    def mention_side(self, mentions: Features) -> UnitSides:
        x = self._normed(mentions)
        return UnitSides({name: unit.mention_side(x) for name, unit in self._units().items()})

    def entity_side(self, entities: Features) -> UnitSides:
        x = self._normed(entities)
        return UnitSides({name: unit.entity_side(x) for name, unit in self._units().items()})

    def entity_unit(self, name: str, entities: Features) -> Side:
        """One unit's entity side, of features that were read for it alone."""
        side: Side = self._units()[name].entity_side(self._normed(entities))
        return side

    def pairs(self, mentions: UnitSides, entities: UnitSides) -> Scores:
        scores: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for name, unit in self._units().items():
            own = _terms(name, unit, mentions, entities)
            scores[name] = summed(own)
            terms |= own
        return Scores(torch.stack(list(scores.values())).mean(0), scores, terms)

    @property
    def term_names(self) -> tuple[str, ...]:
        """Of `Scores.terms`, in their order."""
        return tuple(
            term
            for name, unit in self._units().items()
            for term in (unit.term_names if isinstance(unit, TermedUnit) else (name,))
        )

    @property
    def scales(self) -> dict[str, Scale]:
        """Of the terms that are cached similarities times one number."""
        found: dict[str, Scale] = {}
        for unit in self._units().values():
            if isinstance(unit, TermedUnit):
                found |= unit.scales
        return found

    @property
    def coded(self) -> dict[str, CodedUnit]:
        """The units that read the encoders' features, where each knows entities in eight bits; none
        where one does not."""
        encoded = {name: u for name, u in self._units().items() if UNITS[name].encoded}
        return encoded if all(isinstance(u, CodedUnit) for u in encoded.values()) else {}

    @property
    def bounded(self) -> tuple[str, BoundedUnit] | None:
        """The first unit, with its name, that can bound its score; None if no unit can."""
        units = self._units().items()
        return next(((name, unit) for name, unit in units if isinstance(unit, BoundedUnit)), None)

    def rest(self, mentions: UnitSides, entities: UnitSides) -> tuple[Tensor, dict[str, Tensor]]:
        """S less the costly part of the bounded unit, shape: (m, e), and the terms of that.

        S is that plus `costly × unit.weight / number of units`.
        """
        assert self.bounded is not None
        own, bounded = self.bounded
        terms = bounded.cheap(mentions.units[own], entities.units[own])
        total = summed(terms)
        for name, unit in self._units().items():
            if name != own:
                more = _terms(name, unit, mentions, entities)
                total = total + summed(more)
                terms |= more
        return total / len(self.units), terms

    def forward(self, mentions: Features, entities: Features) -> Scores:
        return self.pairs(self.mention_side(mentions), self.entity_side(entities))

    def _normed(self, x: Features) -> Features:
        """LN_t, LN_T, LN_v, LN_V; padded tokens stay out of every unit by their mask."""
        local = x.text_local if self.ln_T is None else self.ln_T(x.text_local)
        y = x.with_texts(self.ln_t(x.text_global), local)
        if (self.ln_v is None and self.ln_V is None) or x.image_global is None:
            return y  # a unit that wants pictures will say so
        v, patches = x.images
        v = v if self.ln_v is None else self.ln_v(v)
        return y.with_images(v, patches if self.ln_V is None else self.ln_V(patches))


def _terms(
    name: str, unit: MatcherUnit[Any, Any], mentions: UnitSides, entities: UnitSides
) -> dict[str, Tensor]:
    """A unit's terms; of one that is no sum its score, under the unit's name."""
    own, theirs = mentions.units[name], entities.units[name]
    if isinstance(unit, TermedUnit):
        return unit.terms(own, theirs)
    return {name: unit.pairs(own, theirs)}
