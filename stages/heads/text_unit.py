"""The text unit of the matcher: global-to-global and global-to-local (section 3.3).

For every pair of a mention m and an entity e, after the matcher's layer norms,

    Q = W_q T_e,  K = W_k T_m,  U = W_u T_m
    P̄ = mean over entity tokens of softmax over mention tokens of Q Kᵀ / √h
    c = LN(P̄ U),  G2L = (W_c t_e) · c,  G2G = t_m · t_e,  S_T = (G2G + G2L) / 2

c itself is never built for a pair. With Ũ the rows of U less their means, P̄ Ũ has the variance
P̄ (Ũ Ũᵀ) P̄ᵀ / h, and (W_c t_e) · c needs only Ũ (γ W_c t_e): n_t numbers a pair instead of h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.heads.attention import mean_attention
from stages.heads.features import Features

PADDED = -1e9
"""Logit of a padded token; e to this power is 0 in every precision."""


@dataclass(frozen=True)
class MentionText:
    """Mention side of the text unit, once a mention."""

    t: Tensor  # (m, d_t)
    key: Tensor  # (m, n_t, h), divided by √h
    value: Tensor  # (m, n_t, h), centred
    gram: Tensor  # (m, n_t, n_t)
    bias: Tensor  # (m n_t,): 0 on real tokens, PADDED on padding


@dataclass(frozen=True)
class EntityText:
    """Entity side of the text unit, once an entity."""

    t: Tensor  # (e, d_t)
    query: Tensor  # (tokens, h): real tokens only, entity after entity
    offsets: Tensor  # (e + 1,) int64: where each entity's tokens lie
    direction: Tensor  # (e, h): γ W_c t_e
    offset: Tensor  # (e,): β · W_c t_e


class TextUnit(nn.Module):
    """Scores of all pairs; `forward` gives S_T of shape (m, e)."""

    def __init__(self, d_t: int, d_local: int, h: int) -> None:
        super().__init__()
        self.h = h
        self.w_q = nn.Linear(d_local, h)
        self.w_k = nn.Linear(d_local, h)
        self.w_u = nn.Linear(d_local, h)
        self.w_c = nn.Linear(d_t, h)
        self.ln_c = nn.LayerNorm(h)

    def mention_side(self, mentions: Features) -> MentionText:
        value = self.w_u(mentions.text_local)
        value = value - value.mean(-1, keepdim=True)  # LN of a mixture centres each part
        key = self.w_k(mentions.text_local) / math.sqrt(self.h)
        bias = torch.zeros_like(key[..., 0]).masked_fill(~mentions.text_mask, PADDED)
        return MentionText(mentions.text_global, key, value, value @ value.mT, bias.reshape(-1))

    def entity_side(self, entities: Features) -> EntityText:
        mask = entities.text_mask
        offsets = torch.zeros(len(mask) + 1, dtype=torch.int64, device=mask.device)
        offsets[1:] = mask.sum(-1).cumsum(0)
        f = self.w_c(entities.text_global)
        return EntityText(
            t=entities.text_global,
            query=self.w_q(entities.text_local[mask]),
            offsets=offsets,
            direction=self.ln_c.weight * f,
            offset=f @ self.ln_c.bias,
        )

    def forward(self, mentions: MentionText, entities: EntityText) -> Tensor:
        return (mentions.t @ entities.t.T + self._global_to_local(mentions, entities)) / 2

    def _global_to_local(self, mentions: MentionText, entities: EntityText) -> Tensor:
        m, n_m, h = mentions.key.shape
        key = mentions.key.reshape(m * n_m, h)
        mixed = mean_attention(entities.query, entities.offsets, key, mentions.bias, n_m)
        mixed = mixed.view(-1, m, n_m).transpose(0, 1)  # P̄ (m, e, n_m)
        variance = ((mixed @ mentions.gram) * mixed).sum(-1) / h
        along = mentions.value @ entities.direction.T  # (m, n_m, e): Ũ (γ W_c t_e)
        dot = (mixed * along.transpose(1, 2)).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset
