"""The cross-modal unit of the matcher (section 3.3).

    h = W_t t,  H = W_i V,  α = softmax_j(h · H_j)
    r = LN(tanh(w_g · h) h + Σ_j α_j H_j),  S_C = r_m · r_e

with the same weights for mention and entity, as in MIMIC.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.features.features import Features


class CrossUnit(nn.Module):
    """Scores of all pairs; `forward` gives S_C of shape (m, e)."""

    def __init__(self, d_t: int, d_v: int, h: int) -> None:
        super().__init__()
        self.w_t = nn.Linear(d_t, h)
        self.w_i = nn.Linear(d_v, h)
        self.w_g = nn.Linear(h, 1)
        self.ln_r = nn.LayerNorm(h)

    def side(self, features: Features) -> Tensor:
        """r, shape: (n, h)."""
        if features.image_local is None:
            raise ValueError("the cross-modal unit needs image_local")
        h = self.w_t(features.text_global)
        patches = self.w_i(features.image_local)  # (n, n_p, h)
        alpha = (patches @ h.unsqueeze(-1)).squeeze(-1).softmax(-1)
        guided = (alpha.unsqueeze(1) @ patches).squeeze(1)
        return self.ln_r(torch.tanh(self.w_g(h)) * h + guided)

    def forward(self, mentions: Tensor, entities: Tensor) -> Tensor:
        return mentions @ entities.T
