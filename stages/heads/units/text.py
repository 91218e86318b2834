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

from stages.features.features import Features
from stages.heads.units.attention import mean_attention

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

    def take(self, rows: Tensor) -> MentionText:
        """Some of the mentions, by row."""
        bias = self.bias.view(len(self.t), -1)[rows].reshape(-1)
        return MentionText(self.t[rows], self.key[rows], self.value[rows], self.gram[rows], bias)


@dataclass(frozen=True)
class EntityText:
    """Entity side of the text unit, once an entity."""

    t: Tensor  # (e, d_t)
    query: Tensor  # (tokens, h): real tokens only, entity after entity
    offsets: Tensor  # (e + 1,) int64: where each entity's tokens lie
    direction: Tensor  # (e, h): γ W_c t_e
    offset: Tensor  # (e,): β · W_c t_e

    def take(self, rows: Tensor) -> EntityText:
        """Some of the entities, by row."""
        first, count = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        offsets[1:] = count.cumsum(0)
        of_token = (first - offsets[:-1]).repeat_interleave(count)
        query = self.query[of_token + torch.arange(len(of_token), device=rows.device)]
        return EntityText(self.t[rows], query, offsets, self.direction[rows], self.offset[rows])


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
        return (mentions.t @ entities.t.T + self.global_to_local(mentions, entities)) / 2

    def global_to_local_at(
        self, mentions: MentionText, entities: EntityText, i: Tensor, j: Tensor
    ) -> Tensor:
        """G2L of the pairs (i, j) alone, for when few are wanted.

        Shapes
        ------
        i, j: (p,) rows of mentions and of entities -> (p,)
        """
        n_m, h = mentions.key.shape[1:]
        first, count = entities.offsets[j], entities.offsets[j + 1] - entities.offsets[j]
        place = torch.arange(int(count.max()), device=j.device)
        real = place < count[:, None]
        query = entities.query[(first[:, None] + place).where(real, first[:, None])]  # (p, n_e, h)
        bias = mentions.bias.view(-1, 1, n_m)[i]
        attention = torch.baddbmm(bias, query, mentions.key[i].mT).softmax(-1)
        share = real.to(attention) / count[:, None]
        mixed = (share[:, None] @ attention)[:, 0]  # P̄ (p, n_m)
        variance = ((mixed[:, None] @ mentions.gram[i])[:, 0] * mixed).sum(-1) / h
        along = (mentions.value[i] @ entities.direction[j][..., None])[..., 0]
        dot = (mixed * along).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset[j]

    def global_to_local(self, mentions: MentionText, entities: EntityText) -> Tensor:
        """G2L of all pairs, (m, e)."""
        m, n_m, h = mentions.key.shape
        key = mentions.key.reshape(m * n_m, h)
        mixed = mean_attention(entities.query, entities.offsets, key, mentions.bias, n_m)
        mixed = mixed.view(-1, m, n_m).transpose(0, 1)  # P̄ (m, e, n_m)
        variance = ((mixed @ mentions.gram) * mixed).sum(-1) / h
        along = mentions.value @ entities.direction.T  # (m, n_m, e): Ũ (γ W_c t_e)
        dot = (mixed * along.transpose(1, 2)).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset
