"""GHMFC: cross attention between tokens and patches both ways, gated, on two levels.

Wang et al., "Multimodal Entity Linking with Gated Hierarchical Multimodal Fusion and Contrastive
Training", SIGIR 2022. Each part of one modality reads the parts of the other, and a gate says how
much of it is let in:

    A = softmax((W_q X)(W_k Y)ᵀ / √h) (W_u Y)     X⁺ = LN(X + σ(W_x [X; A]) ⊙ A)

with X tokens and Y patches, and the other way round with weights of its own. Then the local level
joins the global one, and a last gate fuses the modalities:

    y_t = W_t LN_t(t) + mean_i T⁺_i      y_v = LN_v(W_v v) + mean_j V⁺_j
    g = σ(W_g [y_t; y_v])                r = LN_r(g ⊙ y_t + (1 - g) ⊙ y_v)

over real tokens alone. Frozen: cached tokens and patches stand in for the fine-tuned BERT and
ResNet; the convolutions over phrases are left out, since the cached tokens have seen their context.
Contrastive training over the batch is kept, in the form that all rows share.
"""

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.baselines.vectors import Pictures, VectorHeads, masked_softmax
from stages.heads.settings import HeadsConfig


class Ghmfc(VectorHeads):
    """Gated cross attention, the sum of two levels, and a gate for each component."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_h)
        h = config.d_h
        self.w_t, self.w_T = nn.Linear(config.d_t, h), nn.Linear(config.d_local, h)
        self.pictures = Pictures(config, local=True)
        self.tokens_read, self.patches_read = GatedCrossAttention(h), GatedCrossAttention(h)
        self.w_g = nn.Linear(2 * h, h)

    def encode(self, x: Features) -> Tensor:
        tokens = self.w_T(x.text_local)  # (n, n_t, h)
        v, patches = self.pictures(x)  # (n, h), (n, n_p, h)
        every = torch.ones_like(patches[..., 0], dtype=torch.bool)
        read_tokens = self.tokens_read(tokens, patches, every)
        read_patches = self.patches_read(patches, tokens, x.text_mask)
        real = x.text_mask[..., None].to(tokens)
        t = self.w_t(x.text_global) + (read_tokens * real).sum(1) / real.sum(1)
        v = v + read_patches.mean(1)
        g = self.w_g(torch.cat([t, v], 1)).sigmoid()
        return g * t + (1 - g) * v


class GatedCrossAttention(nn.Module):
    """X⁺ of the module's docstring.

    Shapes:
        x: (n, k, h), y: (n, l, h), mask: (n, l), True where y counts -> (n, k, h)
    """

    def __init__(self, h: int) -> None:
        super().__init__()
        self.w_q, self.w_u = nn.Linear(h, h), nn.Linear(h, h)
        self.w_k = nn.Linear(h, h, bias=False)  # a bias would shift all logits of a query alike
        self.w_x = nn.Linear(2 * h, h)
        self.ln = nn.LayerNorm(h)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        logits = self.w_q(x) @ self.w_k(y).mT / x.shape[-1] ** 0.5  # (n, k, l)
        a = masked_softmax(logits, mask[:, None]) @ self.w_u(y)
        gate = self.w_x(torch.cat([x, a], -1)).sigmoid()
        return self.ln(x + gate * a)
