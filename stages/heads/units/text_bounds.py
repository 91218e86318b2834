"""An upper bound of G2L that needs no attention.

The attention of a pair only decides *where* c lies: P̄ is a point p of the simplex over the
mention's tokens, whatever the logits. With Ũ the centred values and a = Ũ (γ W_c t_e), by token,

    G2L = p · a / √(|p Ũ|² / h + ε) + β · W_c t_e  ≤  max_j a_j / √(D² / h + ε) + β · W_c t_e

where D is the distance of the hull of Ũ's rows from the origin if the largest a_j is positive, and
the largest |Ũ_j| if it is negative. No mixture points further along γ W_c t_e than that vector's
own length either, which bounds mentions whose hull comes near the origin. A product of h numbers
by token takes the place of one by pair of tokens, and no exponential is needed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 100
"""Of the search for the hull's nearest point; more make the bound tighter, none makes it wrong."""

ROUNDING = 2.0**-22
"""Of a float32 product and sum, a term; twice the unit roundoff covers the factors' own."""

SLACK = 1e-4
"""Relative, for what stands outside the products: norms, square roots, the layer norm's scale."""


@dataclass(frozen=True)
class MentionBounds:
    """Mention side of the bound, once a mention."""

    value: Tensor  # (m n_t, h + 1): Ũ and the rounding of its products; padding repeats a token
    near: Tensor  # (m, 1): 1 / σ at the hull's nearest point
    far: Tensor  # (m, 1): 1 / σ at its farthest


@dataclass(frozen=True)
class EntityBounds:
    """Entity side of the bound, once an entity."""

    direction: Tensor  # (e, h + 1): γ W_c t_e and its length
    longest: Tensor  # (e,): no mixture gives more
    offset: Tensor  # (e,)


def mention_bounds(value: Tensor, real: Tensor, eps: float) -> MentionBounds:
    """Of Ũ (m, n_t, h), where `real` (m, n_t) marks tokens that are no padding."""
    m, n_m, h = value.shape
    first = real.to(torch.uint8).argmax(1)
    token = torch.where(real, torch.arange(n_m, device=real.device), first[:, None])
    value = value.gather(1, token[..., None].expand(-1, -1, h))
    norm = value.norm(dim=-1).amax(1)
    margin = ((h + 16) * ROUNDING * norm)[:, None, None].expand(m, n_m, 1)
    low = hull_distance(value.double()).to(value) * (1 - SLACK)
    return MentionBounds(
        torch.cat([value, margin], -1).view(m * n_m, h + 1),
        (low**2 / h + eps).rsqrt()[:, None] * (1 + SLACK),
        (norm**2 / h + eps).rsqrt()[:, None] * (1 - SLACK),
    )


def entity_bounds(direction: Tensor, offset: Tensor) -> EntityBounds:
    """Of γ W_c t_e (e, h) and β · W_c t_e (e,)."""
    # Ũ's rows have no mean, so neither need the other factor.
    direction = direction - direction.mean(-1, keepdim=True)
    norm = direction.norm(dim=-1, keepdim=True)
    longest = norm[:, 0] * (math.sqrt(direction.shape[1]) * (1 + SLACK))
    return EntityBounds(torch.cat([direction, norm], -1), longest, offset)


def upper_bound(mentions: MentionBounds, entities: EntityBounds) -> Tensor:
    """Shape: (m, e); at least G2L of each pair."""
    m, e = len(mentions.near), len(entities.offset)
    along = mentions.value @ entities.direction.T
    most = along.view(m, -1, e).amax(1)
    bound = torch.maximum(most * mentions.near, most * mentions.far)
    return torch.minimum(bound, entities.longest).add_(entities.offset)


def hull_distance(points: Tensor) -> Tensor:
    """A lower bound of each hull's distance from the origin.

    Frank and Wolfe's steps look for the nearest point x; whatever x they end at, every point y of
    the hull has |y| ≥ y · x / |x|, and so the smallest x · point / |x| is a bound.

    Shapes:
        points: (m, n, h), any precision -> (m,)
    """
    gram = points @ points.mT
    m, n, _ = gram.shape
    p = gram.new_full((m, n), 1 / n)
    of_p = gram.mean(-1)  # gram @ p
    rows = torch.arange(m, device=gram.device)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    for _ in range(STEPS):
        square = (p * of_p).sum(1)
        j = of_p.argmin(1)
        down = square - of_p[rows, j]
        length = square - 2 * of_p[rows, j] + diagonal[rows, j]
        step = torch.where(length > 0, (down / length).clamp(0, 1), 0.0)
        p = p * (1 - step[:, None])
        p[rows, j] += step
        of_p = of_p * (1 - step[:, None]) + step[:, None] * gram[rows, j]
    square = (p * of_p).sum(1)
    found = torch.where(square > 0, of_p.amin(1) / square.clamp_min(1e-300).sqrt(), 0.0)
    return found.clamp_min(0)
