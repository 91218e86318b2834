"""VELML: object-level picture features and words, attended by each other, gated.

Zheng et al., "Visual Entity Linking via Multi-modal Learning", Data Intelligence, 2022. From the
text to the objects of the picture, and from there back to the words (alternating co-attention):

    f = W_t LN_t(t)
    b_j = w_b · tanh(W_1 V_j + W_2 f)      v' = LN_v(W_v v) + Σ_j softmax(b)_j V_j
    a_i = w_a · tanh(W_3 T_i + W_4 v')     t' = f + Σ_i softmax(a)_i T_i
    g = σ(W_g [t'; v'])                    r = LN_r(g ⊙ t' + (1 - g) ⊙ v')

with T = W_T LN_T(tokens) over real tokens alone. Frozen: the patches of the cached vision encoder
stand in for VGG-16's features, the cached tokens for a fine-tuned BERT. The exact layers of the
paper are not ours: what is kept is attention of each modality over the other's parts, then a gate
against noise; the loss is the common one.
"""

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.baselines.vectors import Pictures, VectorHeads, masked_softmax
from stages.heads.settings import HeadsConfig


class Velml(VectorHeads):
    """Additive attention in two turns, and a gate for each component."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_h)
        h = config.d_h
        self.w_t, self.w_T = nn.Linear(config.d_t, h), nn.Linear(config.d_local, h)
        self.pictures = Pictures(config, local=True)
        self.of_patches, self.of_tokens = AdditiveAttention(h), AdditiveAttention(h)
        self.w_g = nn.Linear(2 * h, h)

    def encode(self, x: Features) -> Tensor:
        f, tokens = self.w_t(x.text_global), self.w_T(x.text_local)  # (n, h), (n, n_t, h)
        v, patches = self.pictures(x)  # (n, h), (n, n_p, h)
        every = torch.ones_like(patches[..., 0], dtype=torch.bool)
        v = v + self.of_patches(patches, f, every)
        t = f + self.of_tokens(tokens, v, x.text_mask)
        g = self.w_g(torch.cat([t, v], 1)).sigmoid()
        return g * t + (1 - g) * v


class AdditiveAttention(nn.Module):
    """Σ_j softmax_j(w · tanh(W_1 x_j + W_2 q)) x_j.

    Shapes:
        x: (n, k, h), q: (n, h), mask: (n, k), True where x counts -> (n, h)
    """

    def __init__(self, h: int) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(h, h), nn.Linear(h, h, bias=False)
        self.w = nn.Linear(h, 1, bias=False)  # a bias would shift all logits alike

    def forward(self, x: Tensor, q: Tensor, mask: Tensor) -> Tensor:
        logits = self.w(torch.tanh(self.w_1(x) + self.w_2(q)[:, None]))[..., 0]
        return (masked_softmax(logits, mask)[:, None] @ x)[:, 0]
