"""Upper bounds of S_T from entities in eight bits (`codes.py`), without any attention.

    S_T = (t_m · t_e + G2L) / 2 + exp(f) cos,   G2L = f · c with f = γ W_c t_e, and β · W_c t_e

c has the length √h at most, so G2L ≤ √h |f|. It is a mixture of the mention's tokens, so it also
lies in what they span, with the orthonormal basis B: G2L ≤ √h |B f|. Who has the entity's tokens at
hand knows G2L itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.heads.side import Side
from stages.heads.units.codes import Codes, Planes, lost, products

SLACK = 1e-4
"""Relative, for float32's rounding in a basis and in lengths."""


@dataclass(frozen=True)
class TextCodes(Side):
    """most: (n,), at least G2L with any mention; offset: (n,), β · W_c t_e; direction: f less its
    mean; frozen: None where S_T has no such term."""

    t: Codes
    most: Tensor
    offset: Tensor
    direction: Codes
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


def excess(value: Tensor, entities: TextCodes) -> Tensor:
    """What `text_bound` is too high by at least, for one mention, (e,).

    Args:
        value: Ũ of the mention's real tokens, (n_t, h).
    """
    root = math.sqrt(value.shape[1])
    basis, _ = torch.linalg.qr(value.T)
    direction = entities.direction
    spanned = (direction.rows @ basis).norm(dim=1) * (1 + SLACK) + direction.lost
    return (entities.most - (root * spanned + entities.offset)).clamp_min_(0) / 2
