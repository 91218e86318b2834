"""The dual gate of the vision unit (section 3.3), for all pairs at once.

    q' = W_1 q,  k' = W_1 k,  x̄ = mean_j(W_2 X_j)
    u = W_3 LN_a(x̄ + q'),  g = tanh(w · u),  D(q, k, X) = LN_b(g u + k') · LN_b(q')
    S_V = (D_1(v_e, v_m, V_m) + D_2(v_m, v_e, V_e)) / 2

The formula is linear in vectors of one side but for the two layer norms' scales, so every pair
costs five dot products and some scalars: no vector is ever built for a pair. With ~ for "less its
mean", A_s = W_3 (γ_a s̃) and c_0 = W_3 β_a + b_3,

    σ_s² = |x̃ + q̃'|² / h + ε         u = (A_x + A_q) / σ_s + c_0
    D = (g u + k') · ρ̃ / σ_y + β_b · LN_b(q')     with ρ = γ_b LN_b(q'),  σ_y² = |g ũ + k̃'|² / h + ε
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.heads.side import Side


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


@dataclass(frozen=True)
class QuerySide(Side):
    """What D needs of q, once a row."""

    q: Tensor  # (n, h): q̃'
    a: Tensor  # (n, h): Ã_q
    w_a: Tensor  # (n,): w · A_q
    rho: Tensor  # (n, h): ρ̃
    offset: Tensor  # (n,): β_b · LN_b(q')


@dataclass(frozen=True)
class ContextSide(Side):
    """What D needs of k and X, once a row."""

    x: Tensor  # (n, h): x̃
    a: Tensor  # (n, h): Ã_x
    w_a: Tensor  # (n,): w · A_x
    k: Tensor  # (n, h): k̃'


@dataclass(frozen=True)
class VisionSide(Side):
    """A row's part in both directions."""

    query: QuerySide
    context: ContextSide


class DualGate(nn.Module):
    """D of the module's docstring for all pairs of contexts (rows) and queries (columns)."""

    def __init__(self, d_v: int, h: int) -> None:
        super().__init__()
        self.h = h
        self.w_1 = nn.Linear(d_v, h)
        self.w_2 = nn.Linear(d_v, h)
        self.w_3 = nn.Linear(h, h)
        self.w = nn.Linear(h, 1)
        self.ln_a = nn.LayerNorm(h)
        self.ln_b = nn.LayerNorm(h)

    def query_side(self, q: Tensor) -> QuerySide:
        projected = self.w_1(q)
        centred = _centred(projected)
        normed = self.ln_b(projected)
        a = self._a(centred)
        return QuerySide(
            q=centred,
            a=_centred(a),
            w_a=a @ self.w.weight[0],
            rho=_centred(self.ln_b.weight * normed),
            offset=normed @ self.ln_b.bias,
        )

    def context_side(self, k: Tensor, local: Tensor) -> ContextSide:
        x = _centred(self.w_2(local.mean(1)))  # the mean of a linear map is the map of the mean
        a = self._a(x)
        return ContextSide(x, _centred(a), a @ self.w.weight[0], _centred(self.w_1(k)))

    def _a(self, s: Tensor) -> Tensor:
        return (self.ln_a.weight * s) @ self.w_3.weight.T

    @property
    def c_0(self) -> Tensor:
        """Less its mean, (h,)."""
        return _centred(self.w_3(self.ln_a.bias))

    @property
    def w_c_0(self) -> Tensor:
        """w · c_0 and the gate's bias, (1,)."""
        found: Tensor = self.w(self.w_3(self.ln_a.bias))
        return found

    def forward(self, contexts: ContextSide, queries: QuerySide) -> Tensor:
        """Shape: (contexts, queries)."""
        c, q, h = contexts, queries, self.h
        c_0, w_c_0 = self.c_0, self.w_c_0

        s2 = _square(c.x)[:, None] + 2 * (c.x @ q.q.T) + _square(q.q)
        scale = (s2 / h + self.ln_a.eps).rsqrt()  # 1 / σ_s
        gate = torch.tanh((c.w_a[:, None] + q.w_a) * scale + w_c_0)
        g_scale = gate * scale

        dot = g_scale * (c.a @ q.rho.T + (q.a * q.rho).sum(-1))
        dot = dot + gate * (q.rho @ c_0) + c.k @ q.rho.T

        a2 = _square(c.a)[:, None] + 2 * (c.a @ q.a.T) + _square(q.a)
        a_c_0 = (c.a @ c_0)[:, None] + q.a @ c_0
        a_k = (c.a * c.k).sum(-1)[:, None] + c.k @ q.a.T
        y2 = g_scale * (g_scale * a2 + 2 * (gate * a_c_0 + a_k))
        y2 = y2 + gate * (gate * _square(c_0) + 2 * (c.k @ c_0)[:, None]) + _square(c.k)[:, None]
        # The exact value is a square; rounding may leave a tiny negative number.
        return dot * (y2.clamp_min(0) / h + self.ln_b.eps).rsqrt() + q.offset


def _square(x: Tensor) -> Tensor:
    return (x * x).sum(-1)
