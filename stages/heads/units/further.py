"""The unit of further encoders: the cosines of their own global features. Not in the paper.

    S_F = Σ_k exp(s_k) cos(A_k x_m, A_k x_e) + exp(u_k) cos(A_k y_m, A_k x_e)

over the further encoders k, with x_m of a mention with its sentence, y_m of the sentence alone, and
x_e of an entity. A_k is an adapter that starts as the identity, so that the start is the frozen
encoders' own sum; without `adapter` it stays that. An encoder of pictures has no y, and its cosine
is 0 where one of the two pictures is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.further import FURTHER, of_sentence
from stages.heads.adapter import Adapter
from stages.heads.settings import FurtherShape, HeadsConfig
from stages.heads.side import Side
from stages.heads.units.codes import Codes, Planes, lost, products
from stages.heads.units.unit import Scale, summed


@dataclass(frozen=True)
class Said(Side):
    """x, and of a mention y where the encoder reads texts, each of unit length or zero, (n, d)."""

    whole: Tensor
    sentence: Tensor | None = None


@dataclass(frozen=True)
class FurtherSide(Side):
    """By encoder."""

    encoders: Mapping[str, Said]


@dataclass(frozen=True)
class FurtherCodes(Side):
    """The entities' x in eight bits, by encoder."""

    encoders: Mapping[str, Codes]


class FurtherUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_F of shape (m, e)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.names = tuple(config.further)
        adapts = config.adapter == "mlp"
        width = config.adapter_width if adapts else None
        self.each = nn.ModuleList(
            _One(shape, width, config.further_scale) for shape in config.further.values()
        )

    def reset_parameters(self) -> None:
        for one in self._each().values():
            one.reset_parameters()

    def _each(self) -> dict[str, _One]:
        each = cast(list[_One], list(self.each))  # which are modules to nn.ModuleList
        return dict(zip(self.names, each, strict=True))

    def mention_side(self, x: Features) -> FurtherSide:
        return FurtherSide(
            {
                name: Said(one(x.further[name]), one.sentence(x.further, name))
                for name, one in self._each().items()
            }
        )

    def entity_side(self, x: Features) -> FurtherSide:
        return FurtherSide({n: Said(one(x.further[n])) for n, one in self._each().items()})

    @property
    def term_names(self) -> tuple[str, ...]:
        return tuple(self.scales)

    @property
    def scales(self) -> dict[str, Scale]:
        found = {}
        for name, one in self._each().items():
            found[FURTHER + name] = Scale(one.s, True)
            if one.u is not None:
                found[of_sentence(FURTHER + name)] = Scale(one.u, True)
        return found

    def terms(self, mentions: FurtherSide, entities: FurtherSide) -> dict[str, Tensor]:
        """`further/NAME` and `further/NAME/sentence` of each encoder."""
        found = {}
        for name, one in self._each().items():
            own, x = mentions.encoders[name], entities.encoders[name].whole
            found[FURTHER + name] = one.s.exp() * (own.whole @ x.T)
            if one.u is not None:
                assert own.sentence is not None
                found[of_sentence(FURTHER + name)] = one.u.exp() * (own.sentence @ x.T)
        return found

    def pairs(self, mentions: FurtherSide, entities: FurtherSide) -> Tensor:
        return summed(self.terms(mentions, entities))

    def codes(self, entities: FurtherSide) -> FurtherCodes:
        return FurtherCodes({n: Codes.of(said.whole) for n, said in entities.encoders.items()})

    def reach(self, mentions: FurtherSide) -> dict[str, Planes]:
        """Both cosines are with one vector, so they are one product."""
        found = {}
        for name, one in self._each().items():
            own = mentions.encoders[name]
            m = one.s.exp() * own.whole
            if one.u is not None and own.sentence is not None:
                m = m + one.u.exp() * own.sentence
            found[name] = Planes.of(m)
        return found

    def at_most(self, mentions: dict[str, Planes], entities: FurtherCodes) -> Tensor:
        bounds = [
            products(m, entities.encoders[name]).add_(lost(m, entities.encoders[name]))
            for name, m in mentions.items()
        ]
        return torch.stack(bounds).sum(0)


class _One(nn.Module):
    """One encoder's adapter and scales; gives vectors of unit length, zero where nothing is."""

    def __init__(self, shape: FurtherShape, adapter_width: int | None, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.adapter = None if adapter_width is None else Adapter(shape.width, adapter_width)
        self.s = nn.Parameter(torch.empty(()))
        self.u = None if shape.pictures else nn.Parameter(torch.empty(()))

    def reset_parameters(self) -> None:
        if self.adapter is not None:
            self.adapter.reset_parameters()
        for scale in (self.s, self.u):
            if scale is not None:
                nn.init.constant_(scale, math.log(self.scale))

    def forward(self, x: Tensor) -> Tensor:
        if self.adapter is None:
            return F.normalize(x, dim=-1)
        there = (x != 0).any(-1, keepdim=True)
        return F.normalize(self.adapter(x), dim=-1) * there

    def sentence(self, further: Mapping[str, Tensor], name: str) -> Tensor | None:
        return None if self.u is None else self(further[of_sentence(name)])
