"""BLINK: a text bi-encoder with hard negatives.

Wu et al., "Scalable Zero-shot Entity Linking with Dense Entity Retrieval", EMNLP 2020. Mentions and
entities have an encoder each; batches hold entities that score high and are wrong.

    y_m = red(T_1(mention))   y_e = red(T_2(entity))   S = y_m · y_e

Here y_m = LN_r(W_m LN_t(t_m) + b_m) and y_e = LN_r(W_e LN_t(t_e) + b_e), the maps starting as the
identity. Frozen: T_1 and T_2 are one cached encoder, and W_m and W_e are all that tells them apart.
The hard negatives are those of `train.hard_negatives` (at least 1): nearest by cached features,
once, where BLINK mines them with the model as it learns. BLINK's second stage, a cross-encoder over
the joined texts, cannot run on cached features and is left out.
"""

from torch import Tensor

from stages.features.features import Features
from stages.heads.baselines.bert import identity
from stages.heads.baselines.vectors import BiEncoder
from stages.heads.settings import HeadsConfig


class Blink(BiEncoder):
    """A square map of the global texts for each side."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_t)
        self.w_m, self.w_e = identity(config.d_t), identity(config.d_t)

    def encode_mentions(self, x: Features) -> Tensor:
        return self.w_m(x.text_global)  # (n, d_t)

    def encode_entities(self, x: Features) -> Tensor:
        return self.w_e(x.text_global)
