"""The cross-modal unit of the matcher (section 3.3).

    h = W_t t,  H = W_i V,  α = softmax_j(h · H_j)
    r = LN(tanh(w_g · h) h + Σ_j α_j H_j),  S_C = r_m · r_e

with the same weights for mention and entity, as in MIMIC.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.initial import redraw, scale_norm
from stages.heads.precision import Linear
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side
from stages.heads.units.codes import Codes, Planes, lost, products


@dataclass(frozen=True)
class CrossSide(Side):
    r: Tensor  # (n, h)


class CrossUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_C of shape (m, e)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        h = config.d_h
        self.logit_scale = config.logit_scale
        self.w_t = Linear(config.d_t, h)
        self.w_i = Linear(config.d_v, h)
        self.w_g = nn.Linear(h, 1)
        self.ln_r = nn.LayerNorm(h)

    def reset_parameters(self) -> None:
        redraw(self)
        scale_norm(self.ln_r, self.logit_scale)

    def side(self, x: Features) -> CrossSide:
        _, local = x.images
        h = self.w_t(x.text_global)
        patches = self.w_i(local)  # (n, n_p, h)
        alpha = (patches @ h.unsqueeze(-1)).squeeze(-1).softmax(-1)
        guided = (alpha.unsqueeze(1) @ patches).squeeze(1)
        return CrossSide(self.ln_r(torch.tanh(self.w_g(h)) * h + guided))

    mention_side = entity_side = side

    def pairs(self, mentions: CrossSide, entities: CrossSide) -> Tensor:
        return mentions.r @ entities.r.T

    def codes(self, entities: CrossSide) -> Codes:
        return Codes.of(entities.r)

    def reach(self, mentions: CrossSide) -> Planes:
        return Planes.of(mentions.r)

    def at_most(self, mentions: Planes, entities: Codes) -> Tensor:
        return products(mentions, entities).add_(lost(mentions, entities))
