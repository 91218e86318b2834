"""An upper bound of S_T from entities in eight bits (`codes.py`), without any attention.

    S_T = (t_m · t_e + G2L) / 2 + exp(f) cos,   G2L ≤ √h |γ W_c t_e| + β · W_c t_e

since c has the length √h at most. Who has the tokens at hand knows G2L itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.heads.side import Side
from stages.heads.units.codes import Codes, Planes, lost, products


@dataclass(frozen=True)
class TextCodes(Side):
    """most: (n,), at least G2L with any mention; frozen: None where S_T has no such term."""

    t: Codes
    most: Tensor
    frozen: Codes | None = None


@dataclass(frozen=True)
class TextReach:
    """The mentions' side of the bound."""

    t: Planes
    frozen: Planes | None = None


def text_bound(mentions: TextReach, entities: TextCodes, frozen_scale: float) -> Tensor:
    """At least S_T of all pairs, (m, e)."""
    bound = products(mentions.t, entities.t).add_(lost(mentions.t, entities.t))
    bound.add_(entities.most).div_(2)
    if mentions.frozen is not None and entities.frozen is not None:
        frozen = products(mentions.frozen, entities.frozen)
        frozen.add_(lost(mentions.frozen, entities.frozen))
        bound.add_(frozen, alpha=frozen_scale)
    return bound
