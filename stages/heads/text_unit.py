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

from stages.heads.features import Features

# Attention logits held at once outside training; a few MB stay in the second-level cache.
LOGITS_AT_ONCE = 1 << 20

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
    query: Tensor  # (e, n_t, h)
    share: Tensor  # (e, n_t): 1 / number of tokens on real tokens, else 0
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
        return MentionText(
            mentions.text_global, key, value, value @ value.mT, bias.reshape(-1)
        )

    def entity_side(self, entities: Features) -> EntityText:
        mask = entities.text_mask
        f = self.w_c(entities.text_global)
        return EntityText(
            t=entities.text_global,
            query=self.w_q(entities.text_local),
            share=mask.to(f) / mask.sum(-1, keepdim=True),
            direction=self.ln_c.weight * f,
            offset=f @ self.ln_c.bias,
        )

    def forward(self, mentions: MentionText, entities: EntityText) -> Tensor:
        return (mentions.t @ entities.t.T + self._global_to_local(mentions, entities)) / 2

    def _global_to_local(self, mentions: MentionText, entities: EntityText) -> Tensor:
        if torch.is_grad_enabled():
            return self._block(mentions, entities, slice(None))
        per_entity = mentions.bias.numel() * entities.share.shape[1]
        step = max(1, LOGITS_AT_ONCE // per_entity)
        blocks = [
            self._block(mentions, entities, slice(lo, lo + step))
            for lo in range(0, len(entities.t), step)
        ]
        return torch.cat(blocks, dim=1)

    def _block(self, mentions: MentionText, entities: EntityText, rows: slice) -> Tensor:
        query, share = entities.query[rows], entities.share[rows]
        e, n_e, h = query.shape
        m, n_m, _ = mentions.key.shape
        # The mask rides on the product: what is added to a padded token makes its weight exactly 0.
        key = mentions.key.reshape(m * n_m, h)
        logits = torch.addmm(mentions.bias, query.reshape(e * n_e, h), key.T)
        attention = logits.view(-1, n_m).softmax(-1).view(e, n_e, m * n_m)
        mixed = (share.unsqueeze(1) @ attention).view(e, m, n_m).transpose(0, 1)  # P̄ (m, e, n_m)
        variance = ((mixed @ mentions.gram) * mixed).sum(-1) / self.h
        along = mentions.value @ entities.direction[rows].T  # (m, n_m, e): Ũ (γ W_c t_e)
        dot = (mixed * along.transpose(1, 2)).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset[rows]
