"""JMEL: text and picture concatenated, mapped into one space by fully connected layers.

Adjali et al., "Multimodal Entity Linking for Tweets", ECIR 2020.

    u = [W_t LN_t(t); LN_v(W_v v)]     r = LN_r(W_2 relu(W_1 u))     S = r_m · r_e

Frozen: t stands in for the n-gram and sentence embeddings of a tweet, v for the Inception features.
Changed besides: an entity is encoded as a mention is, where JMEL builds it from its tweets; the
common contrastive loss replaces the triplet loss on cosines, of which LN_r keeps the fixed length.
"""

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.baselines.vectors import Pictures, VectorHeads
from stages.heads.settings import HeadsConfig


class Jmel(VectorHeads):
    """The concatenation of two projections through two layers."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_h)
        h = config.d_h
        self.w_t = nn.Linear(config.d_t, h)
        self.pictures = Pictures(config, local=False)
        self.w_1, self.w_2 = nn.Linear(2 * h, 2 * h), nn.Linear(2 * h, h)

    def encode(self, x: Features) -> Tensor:
        v, _ = self.pictures(x)
        u = torch.cat([self.w_t(x.text_global), v], 1)  # (n, 2h)
        return self.w_2(torch.relu(self.w_1(u)))  # (n, h)
