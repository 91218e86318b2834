"""The text unit of the matcher: global-to-global and global-to-local (section 3.3).

For every pair of a mention m and an entity e, after the matcher's layer norms,

    Q = W_q T_e,  K = W_k T_m,  U = W_u T_m
    P̄ = mean over entity tokens of softmax over mention tokens of Q Kᵀ / √h
    c = LN(P̄ U),  G2L = (W_c t_e) · c,  G2G = t_m · t_e,  S_T = (G2G + G2L) / 2

c itself is never built for a pair. With Ũ the rows of U less their means, P̄ Ũ has the variance
P̄ (Ũ Ũᵀ) P̄ᵀ / h, and (W_c t_e) · c needs only Ũ (γ W_c t_e): n_t numbers a pair instead of h.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.heads.initial import redraw
from stages.heads.precision import Linear, linears
from stages.heads.settings import HeadsConfig
from stages.heads.side import Ragged, Side
from stages.heads.units.attention import mean_attention
from stages.heads.units.codes import Codes, Planes
from stages.heads.units.text_bounds import (
    EntityBounds,
    MentionBounds,
    entity_bounds,
    mention_bounds,
    upper_bound,
)
from stages.heads.units.text_codes import TextCodes, TextReach, excess, text_bound
from stages.heads.units.unit import Scale, summed

PADDED = -1e9
"""Logit of a padded token; e to this power is 0 in every precision."""


@dataclass(frozen=True)
class MentionText(Side):
    """Mention side of the text unit, once a mention."""

    t: Tensor  # (m, d_t)
    key: Tensor  # (m, n_t, h), divided by √h
    value: Tensor  # (m, n_t, h), centred
    gram: Tensor  # (m, n_t, n_t)
    bias: Tensor  # (m, n_t): 0 on real tokens, PADDED on padding
    frozen: Tensor | None = None  # (m, d_t): the encoder's own t, of unit length


@dataclass(frozen=True)
class EntityText(Side):
    """Entity side of the text unit, once an entity."""

    t: Tensor  # (e, d_t)
    query: Ragged  # (tokens, h): real tokens only, entity after entity
    direction: Tensor  # (e, h): γ W_c t_e
    offset: Tensor  # (e,): β · W_c t_e
    frozen: Tensor | None = None  # (e, d_t), as the mention's


class TextUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_T of shape (m, e).

    With `frozen_scale` above 0, which is not in the paper, S_T + exp(f) cos of the two frozen
    global texts.
    """

    weight = 0.5
    """Of G2L in S_T."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.h = h = config.d_h
        self.w_q = Linear(config.d_local, h)
        self.w_k = Linear(config.d_local, h)
        self.w_u = Linear(config.d_local, h)
        self.w_c = Linear(config.d_t, h)
        self.ln_c = nn.LayerNorm(h)
        self.frozen_scale = config.frozen_scale
        self.f = nn.Parameter(torch.empty(())) if self.frozen_scale else None

    def reset_parameters(self) -> None:
        redraw(self)
        if self.f is not None:
            nn.init.constant_(self.f, math.log(self.frozen_scale))

    def mention_side(self, x: Features) -> MentionText:
        key, value = linears(x.text_local, self.w_k, self.w_u)
        value = value - value.mean(-1, keepdim=True)  # LN of a mixture centres each part
        key = key / math.sqrt(self.h)
        bias = torch.zeros_like(key[..., 0]).masked_fill(~x.text_mask, PADDED)
        return MentionText(x.text_global, key, value, value @ value.mT, bias, self._frozen(x))

    def entity_side(self, x: Features) -> EntityText:
        mask = x.text_mask
        offsets = torch.zeros(len(mask) + 1, dtype=torch.int64, device=mask.device)
        offsets[1:] = mask.sum(-1).cumsum(0)
        f = self.w_c(x.text_global)
        return EntityText(
            t=x.text_global,
            query=Ragged(self.w_q(x.tokens), offsets),
            direction=self.ln_c.weight * f,
            offset=f @ self.ln_c.bias,
            frozen=self._frozen(x),
        )

    def _frozen(self, x: Features) -> Tensor | None:
        if self.f is None:
            return None
        if x.text_frozen is None:
            raise ValueError("TextUnit: frozen_scale needs the features' text_frozen")
        return F.normalize(x.text_frozen, dim=-1)

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("text",) if self.f is None else ("text", "frozen")

    @property
    def scales(self) -> dict[str, Scale]:
        return {} if self.f is None else {"frozen": Scale(self.f, True)}

    def terms(self, mentions: MentionText, entities: EntityText) -> dict[str, Tensor]:
        """`text`, S_T as the paper has it, and `frozen` where there is one."""
        text = (mentions.t @ entities.t.T + self.costly(mentions, entities)) / 2
        return {"text": text, **self._frozen_term(mentions, entities)}

    def pairs(self, mentions: MentionText, entities: EntityText) -> Tensor:
        return summed(self.terms(mentions, entities))

    def cheap(self, mentions: MentionText, entities: EntityText) -> dict[str, Tensor]:
        """The terms, without G2L."""
        return {"text": mentions.t @ entities.t.T / 2, **self._frozen_term(mentions, entities)}

    def _frozen_term(self, mentions: MentionText, entities: EntityText) -> dict[str, Tensor]:
        if self.f is None:
            return {}
        assert mentions.frozen is not None
        assert entities.frozen is not None
        return {"frozen": self.f.exp() * (mentions.frozen @ entities.frozen.T)}

    def costly_at(
        self, mentions: MentionText, entities: EntityText, i: Tensor, j: Tensor
    ) -> Tensor:
        """G2L of the pairs (i, j) alone, for when few are wanted.

        Shapes:
            i, j: (p,) rows of mentions and of entities -> (p,)
        """
        n_m, h = mentions.key.shape[1:]
        offsets = entities.query.offsets
        first, count = offsets[j], offsets[j + 1] - offsets[j]
        place = torch.arange(int(count.max()), device=j.device)
        real = place < count[:, None]
        query = entities.query.values[
            (first[:, None] + place).where(real, first[:, None])
        ]  # (p, n_e, h)
        bias = mentions.bias[i].view(-1, 1, n_m)
        attention = torch.baddbmm(bias, query, mentions.key[i].mT).softmax(-1)
        share = real.to(attention) / count[:, None]
        mixed = (share[:, None] @ attention)[:, 0]  # P̄ (p, n_m)
        variance = ((mixed[:, None] @ mentions.gram[i])[:, 0] * mixed).sum(-1) / h
        along = (mentions.value[i] @ entities.direction[j][..., None])[..., 0]
        dot = (mixed * along).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset[j]

    def costly(self, mentions: MentionText, entities: EntityText) -> Tensor:
        """G2L of all pairs, (m, e)."""
        m, n_m, h = mentions.key.shape
        key, query = mentions.key.reshape(m * n_m, h), entities.query
        mixed = mean_attention(query.values, query.offsets, key, mentions.bias.view(-1), n_m)
        mixed = mixed.view(-1, m, n_m).transpose(0, 1)  # P̄ (m, e, n_m)
        variance = ((mixed @ mentions.gram) * mixed).sum(-1) / h
        along = mentions.value @ entities.direction.T  # (m, n_m, e): Ũ (γ W_c t_e)
        dot = (mixed * along.transpose(1, 2)).sum(-1)
        return dot * (variance + self.ln_c.eps).rsqrt() + entities.offset

    def mention_bounds(self, mentions: MentionText) -> MentionBounds:
        return mention_bounds(mentions.value, mentions.bias == 0, self.ln_c.eps)

    def entity_bounds(self, entities: EntityText) -> EntityBounds:
        return entity_bounds(entities.direction, entities.offset)

    def bound(self, mentions: MentionBounds, entities: EntityBounds) -> Tensor:
        return upper_bound(mentions, entities)

    def codes(self, entities: EntityText) -> TextCodes:
        frozen = None if entities.frozen is None else Codes.of(entities.frozen)
        bounds = entity_bounds(entities.direction, entities.offset)
        return TextCodes(
            t=Codes.of(entities.t),
            most=bounds.longest + bounds.offset,
            offset=bounds.offset,
            direction=Codes.of(bounds.direction[:, :-1]),  # the last one is its length
            frozen=frozen,
        )

    def reach(self, mentions: MentionText) -> TextReach:
        frozen = None if mentions.frozen is None else Planes.of(mentions.frozen)
        return TextReach(Planes.of(mentions.t), frozen)

    def at_most(self, mentions: TextReach, entities: TextCodes) -> Tensor:
        return text_bound(mentions, entities, 0.0 if self.f is None else float(self.f.exp()))

    def excess(self, mention: MentionText, entities: TextCodes) -> Tensor:
        return excess(mention.value[0, mention.bias[0] == 0], entities)
