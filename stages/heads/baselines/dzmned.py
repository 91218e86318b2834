"""DZMNED: attention over the modalities word, character and picture.

Moon et al., "Multimodal Named Entity Disambiguation for Noisy Social Media Posts", ACL 2018.

    [a_w; a_v; a_c] = σ(W_a [x_w; x_v; x_c] + b_a)     α = softmax(a)     r = LN_r(Σ α_k x_k)

Here x_w = W_t LN_t(t), x_v = LN_v(W_v v), and x_c = Σ_k f_k C_(k mod 4096) over the TF-IDF values
f_k of the name's character n-grams; of an entity's names its own, since a sum over aliases would
blur it. A missing picture takes no part in the softmax.

Frozen: t stands in for the LSTM over words. The characters' LSTM has no cached output; the n-grams,
hashed into a fixed table C (Weinberger et al., ICML 2009), stand in for it, so the heads' shapes do
not depend on the vocabulary. Changed besides: an entity, which has a graph embedding there, passes
the same fusion as a mention, and the common contrastive loss replaces the hinge loss.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.features.names import own_names
from stages.heads.baselines.vectors import VectorHeads, masked_softmax
from stages.heads.projection import project
from stages.heads.settings import HeadsConfig

BUCKETS = 4096
"""Rows of C. A title has tens of n-grams, so two titles seldom meet in more than a few of them."""


class Dzmned(VectorHeads):
    """Words, picture and characters, weighted for each record."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_h)
        h = config.d_h
        self.w_t = nn.Linear(config.d_t, h)
        self.w_v, self.ln_v = nn.Linear(config.d_image, h), nn.LayerNorm(h)
        self.c = nn.Parameter(torch.randn(BUCKETS, h))
        self.w_a = nn.Linear(3 * h, 3)

    def encode(self, x: Features) -> Tensor:
        has, (image_global, _) = x.has_image[:, None], x.images
        v = self.ln_v(project(image_global, self.w_v)) * has
        parts = torch.stack([self.w_t(x.text_global), v, self._characters(x)], 1)  # (n, 3, h)
        present = torch.ones(len(x), 3, dtype=torch.bool, device=has.device)
        present[:, 1] = x.has_image
        alpha = masked_softmax(self.w_a(parts.flatten(1)).sigmoid(), present)
        return (alpha[:, None] @ parts)[:, 0]

    def _characters(self, x: Features) -> Tensor:
        """Σ_k f_k C_(k mod BUCKETS), shape (n, h); zero for a name without any known n-gram."""
        rows, device = own_names(x.names("lexical")), self.c.device
        found: Tensor = F.embedding_bag(
            torch.from_numpy(rows.indices).long().to(device) % BUCKETS,
            self.c,
            torch.from_numpy(rows.indptr).long().to(device),
            mode="sum",
            per_sample_weights=torch.from_numpy(rows.data).to(self.c),
            include_last_offset=True,
        )
        return found
