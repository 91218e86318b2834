"""An upper bound of S_V from entities in eight bits (`codes.py`).

D of `dual_gate.py` is √h ρ · n(y) + β with n(y) = y / |(y, √(h ε))|, y = g u + k, u = A r + c_0,
r = √h / N and N = |(s, √(h ε))|, where s = x + q and A = A_x + A_q. It is taken of the vectors as
they are kept, and what they lose moves it by no more than

    |N − N̂| ≤ |δ_x| + |δ_q|,   |u − û| ≤ r |δ_A| + |r − r̂| |Â|,   |g − ĝ| ≤ |W| |r − r̂|
    |y − ŷ| ≤ g |u − û| + |g − ĝ| |û| + |δ_k|
    |n(y) − n(ŷ)| ≤ 2 |y − ŷ| / (|y| + |ŷ|)          (Dunkl and Williams, 1964)
    |D − D̂| ≤ √h (|δ_ρ| + |ρ̂| |n(y) − n(ŷ)|)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stages.heads.side import Side
from stages.heads.units.codes import Codes, Planes, products_of
from stages.heads.units.dual_gate import ContextSide, DualGate, QuerySide, VisionSide

ROUNDING = 1e-4
"""Relative, of the largest score: what float32 sums of the formula may be off by."""


@dataclass(frozen=True)
class QueryCodes(Side):
    """What D needs of q, in eight bits. terms: (n, 8), see `_query_terms`."""

    q: Codes
    a: Codes
    rho: Codes
    terms: Tensor

    @cached_property
    def columns(self) -> list[Tensor]:
        """Of `terms`, each in memory by itself: read for every mention."""
        return _rows(self.terms)


@dataclass(frozen=True)
class ContextCodes(Side):
    """What D needs of k and X, in eight bits. terms: (n, 7), see `_context_terms`."""

    x: Codes
    a: Codes
    k: Codes
    terms: Tensor

    @cached_property
    def columns(self) -> list[Tensor]:
        """As of `QueryCodes`."""
        return _rows(self.terms)


@dataclass(frozen=True)
class VisionCodes(Side):
    query: QueryCodes
    context: ContextCodes


@dataclass(frozen=True)
class Query:
    """Numbers of n queries, each of a shape that spreads over all pairs."""

    q2: Tensor
    a2: Tensor
    length: Tensor  # |ρ̂|
    a_rho: Tensor
    rho_c0: Tensor
    a_c0: Tensor
    w_a: Tensor
    offset: Tensor
    lost_q: Tensor
    lost_a: Tensor
    lost_rho: Tensor


@dataclass(frozen=True)
class Context:
    """Numbers of n contexts, each of a shape that spreads over all pairs."""

    x2: Tensor
    a2: Tensor
    k2: Tensor
    a_k: Tensor
    a_c0: Tensor
    k_c0: Tensor
    w_a: Tensor
    lost_x: Tensor
    lost_a: Tensor
    lost_k: Tensor


@dataclass(frozen=True)
class Dots:
    """Inner products of all pairs."""

    x_q: Tensor
    a_a: Tensor
    a_rho: Tensor  # of the context's A and ρ
    k_a: Tensor  # of k and the query's A
    k_rho: Tensor


def vision_codes(d_1: DualGate, d_2: DualGate, side: VisionSide) -> VisionCodes:
    """The entities' side: queries of D_1, contexts of D_2."""
    return VisionCodes(_query_codes(d_1, side.query), _context_codes(d_2, side.context))


def _query_codes(gate: DualGate, side: QuerySide) -> QueryCodes:
    q, a, rho = Codes.of(side.q), Codes.of(side.a), Codes.of(side.rho)
    terms = _query_terms(gate, q.rows, a.rows, rho.rows, side.w_a, side.offset)
    return QueryCodes(q, a, rho, terms)


def _context_codes(gate: DualGate, side: ContextSide) -> ContextCodes:
    x, a, k = Codes.of(side.x), Codes.of(side.a), Codes.of(side.k)
    return ContextCodes(x, a, k, _context_terms(gate, x.rows, a.rows, k.rows, side.w_a))


def _query_terms(
    gate: DualGate, q: Tensor, a: Tensor, rho: Tensor, w_a: Tensor, offset: Tensor
) -> Tensor:
    c_0 = gate.c_0
    return torch.stack(
        [_dot(q, q), _dot(a, a), rho.norm(dim=1), _dot(a, rho), rho @ c_0, a @ c_0, w_a, offset], 1
    )


def _context_terms(gate: DualGate, x: Tensor, a: Tensor, k: Tensor, w_a: Tensor) -> Tensor:
    c_0 = gate.c_0
    return torch.stack([_dot(x, x), _dot(a, a), _dot(k, k), _dot(a, k), a @ c_0, k @ c_0, w_a], 1)


@dataclass(frozen=True)
class VisionReach:
    """The mentions' side of the bound: contexts of D_1, queries of D_2, in two planes each."""

    x: Planes
    a_x: Planes
    k: Planes
    context: Context
    q: Planes
    a_q: Planes
    rho: Planes
    query: Query


def vision_reach(d_1: DualGate, d_2: DualGate, side: VisionSide) -> VisionReach:
    c, q = side.context, side.query
    x, a_x, k = Planes.of(c.x), Planes.of(c.a), Planes.of(c.k)
    terms = _context_terms(d_1, x.rows, a_x.rows, k.rows, c.w_a)
    context = Context(*[*_columns(terms), x.lost[:, None], a_x.lost[:, None], k.lost[:, None]])
    q_, a_q, rho = Planes.of(q.q), Planes.of(q.a), Planes.of(q.rho)
    terms = _query_terms(d_2, q_.rows, a_q.rows, rho.rows, q.w_a, q.offset)
    query = Query(*[*_columns(terms), q_.lost[:, None], a_q.lost[:, None], rho.lost[:, None]])
    return VisionReach(x, a_x, k, context, q_, a_q, rho, query)


def vision_bound(
    d_1: DualGate, d_2: DualGate, mentions: VisionReach, entities: VisionCodes
) -> Tensor:
    """At least S_V of all pairs, (m, e)."""
    q, c, m = entities.query, entities.context, mentions
    (x_q,) = products_of([m.x], q.q)
    a_a, k_a = products_of([m.a_x, m.k], q.a)
    a_rho, k_rho = products_of([m.a_x, m.k], q.rho)
    query = Query(*[*q.columns, q.q.lost, q.a.lost, q.rho.lost])
    total = _bound(d_1, Dots(x_q, a_a, a_rho, k_a, k_rho), m.context, query)
    (x_q,) = products_of([m.q], c.x)
    a_a, a_rho = products_of([m.a_q, m.rho], c.a)
    k_a, k_rho = products_of([m.a_q, m.rho], c.k)
    context = Context(*[*c.columns, c.x.lost, c.a.lost, c.k.lost])
    dots = Dots(x_q, a_a, a_rho, k_a, k_rho)
    return total.add_(_bound(d_2, dots, context, m.query)).div_(2)


def _bound(gate: DualGate, dots: Dots, c: Context, q: Query) -> Tensor:
    """At least D of all pairs; see the module's docstring for the letters."""
    root = math.sqrt(gate.h)
    c_0 = gate.c_0
    w_0, c2 = float(gate.w_c_0), float(c_0 @ c_0)
    n_2 = (dots.x_q * 2).add_(c.x2).add_(q.q2).clamp_min_(0).add_(gate.h * gate.ln_a.eps)
    n = n_2.sqrt_()
    least = math.sqrt(gate.h * gate.ln_a.eps)
    r = root / n
    r_most = root / (n - (c.lost_x + q.lost_q)).clamp_min_(least)
    dr = r_most - r
    w = c.w_a + q.w_a
    g = torch.tanh((w * r).add_(w_0))
    dg = w.abs_() * dr
    a2 = (dots.a_a * 2).add_(c.a2).add_(q.a2).clamp_min_(0)
    a_c0 = c.a_c0 + q.a_c0
    u = torch.addcmul(a_c0 * 2, a2, r).mul_(r).add_(c2).clamp_min_(0).sqrt_()  # |û|
    du = (r_most * (c.lost_a + q.lost_a)).addcmul_(dr, a2.sqrt())
    dy = (g.abs() + dg).clamp_max_(1).mul_(du).addcmul_(dg.clamp_max_(2), u).add_(c.lost_k)
    gr = g * r
    y2 = torch.addcmul((g * a_c0).add_(dots.k_a).add_(c.a_k).mul_(2), gr, a2).mul_(gr)
    y2 += g * (g * c2 + 2 * c.k_c0)
    y = (y2 + c.k2).clamp_min_(0).add_(gate.h * gate.ln_b.eps).sqrt_()
    dot = (dots.a_rho + q.a_rho).mul_(gr).addcmul_(g, q.rho_c0).add_(dots.k_rho)
    # |y| is at least ŷ less the difference, so twice the share over two less the share.
    share = (dy / y).clamp_max_(1)
    moved = share * 2 / (2 - share)  # no unit vectors differ by more than 2
    most = (q.length * (moved + ROUNDING)).add_(q.lost_rho).mul_(root)
    found = (dot.mul_(root) / y).add_(most)
    return torch.minimum(found, (q.length + q.lost_rho) * (root * (1 + ROUNDING))).add_(q.offset)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def _columns(terms: Tensor) -> list[Tensor]:
    """Each column as (n, 1)."""
    return [column[:, None] for column in terms.T]


def _rows(terms: Tensor) -> list[Tensor]:
    """Each column as (n,)."""
    return list(terms.T.contiguous())
