"""Vectors in eight bits, and products with them that know how wrong they can be.

A row x is kept as codes c of int8 and a scale s, with the length of what is lost:

    x = s c + δ,   |m · x − s m · c| ≤ |m| |δ|

The other factor m is cut into two planes of int8, which lose some 1/30,000 of its largest number,
so that a product is one of integers, exact and as fast as the memory gives its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.heads.side import Side

LARGEST = 127
"""Of a code."""

SECOND = 254
"""Steps of the second plane in one of the first: what the first leaves is at most half a step."""

SLACK = 1e-5
"""Relative, for float32's own rounding in norms and scales."""

FEW = 32
"""Up to one row of the first factor in so many columns, oneDNN reads the second one twice as fast
where the first stands on the left."""


@dataclass(frozen=True)
class Codes(Side):
    """n vectors of d numbers in eight bits.

    codes: int8 (n, d); scale: float32 (n,); lost: float32 (n,), at least |δ| of each.
    """

    codes: Tensor
    scale: Tensor
    lost: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Codes:
        """Of rows (n, d)."""
        scale = x.abs().amax(1) / LARGEST
        codes = (x / _positive(scale)[:, None]).round_().clamp_(-LARGEST, LARGEST)
        lost = (x - scale[:, None] * codes).norm(dim=1)
        # The remainder is a difference of numbers up to |x|, each rounded once.
        lost = (1 + SLACK) * lost + SLACK * 2e-2 * x.norm(dim=1)
        return cls(codes.to(torch.int8), scale, lost)

    @property
    def rows(self) -> Tensor:
        """s c, float32 (n, d): the vectors without what is lost."""
        return self.scale[:, None] * self.codes

    @property
    def width(self) -> int:
        return self.codes.shape[1]


@dataclass(frozen=True)
class Planes:
    """m vectors of d numbers, each as two planes of int8; get it from `of`.

    planes: int8 (2 m, d), the first ones, then the second ones.
    scale: (m,) of the first planes. norm: (m,), at least |m|. lost: (m,), at least what both lose.
    """

    planes: Tensor
    scale: Tensor
    norm: Tensor
    lost: Tensor

    @classmethod
    def of(cls, m: Tensor) -> Planes:
        """Of rows (m, d)."""
        scale = _positive(m.abs().amax(1) / LARGEST)
        steps = m / scale[:, None]
        first = steps.round()
        second = ((steps - first) * SECOND).round()
        left = m - scale[:, None] * (first + second / SECOND)
        norm = m.norm(dim=1) * (1 + SLACK)
        lost = left.norm(dim=1) + 2e-7 * norm
        planes = torch.cat([first, second]).clamp_(-LARGEST, LARGEST).to(torch.int8)
        return cls(planes, scale, norm, lost)

    def __len__(self) -> int:
        return len(self.scale)

    @property
    def rows(self) -> Tensor:
        """The vectors without what both planes lose, float32 (m, d)."""
        first, second = self.planes.float().split(len(self))
        return self.scale[:, None] * (first + second / SECOND)


def products(m: Planes, x: Codes) -> Tensor:
    """m · (s c) of all pairs, float32 (m, n), within `rounding` of the exact products."""
    return products_of([m], x)[0]


def products_of(several: Sequence[Planes], x: Codes) -> list[Tensor]:
    """`products` of each, for which the codes are read once."""
    planes = torch.cat([m.planes for m in several])
    found = integer_products(planes, x.codes).split([2 * len(m) for m in several])
    return [
        torch.add(two[: len(m)], two[len(m) :], alpha=1 / SECOND)
        .mul_(m.scale[:, None])
        .mul_(x.scale)
        for m, two in zip(several, found, strict=True)
    ]


def rounding(m: Planes, x: Codes) -> Tensor:
    """At least how far `products` lie from m · (s c), (m, n): what the planes lose."""
    length = x.scale * (LARGEST * math.sqrt(x.width))
    return (m.lost + 4e-7 * m.norm)[:, None] * length


def lost(m: Planes, x: Codes) -> Tensor:
    """At least |m · x − products|, (m, n), where x are the vectors themselves."""
    return torch.addcmul(rounding(m, x), m.norm[:, None], x.lost)


def integer_products(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ of int8 (m, d) and (n, d), exact, float32 (m, n)."""
    if a.device.type == "cpu":
        if len(a) * FEW <= b.shape[1] and 1 not in (*a.shape, *b.shape):
            return torch._int_mm(a.contiguous(), b.contiguous().T).float()
        return torch._int_mm(_plain(b), _plain(a.T)).T.float()
    # Exact as well: float32 holds every integer up to 2^24, which is 1,040 products of 127².
    wide = torch.float32 if b.shape[1] <= 1024 else torch.float64
    return (a.to(wide) @ b.to(wide).T).float()


def _plain(x: Tensor) -> Tensor:
    """Row by row in memory. A side of length 1 may have any stride and pass for contiguous, and the
    product would follow that stride out of the tensor."""
    return x.clone(memory_format=torch.contiguous_format) if 1 in x.shape else x.contiguous()


def _positive(scale: Tensor) -> Tensor:
    """Of a row of zeros any scale will do."""
    return scale.where(scale > 0, torch.ones_like(scale))
