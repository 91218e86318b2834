"""BERT: one text encoder for both sides.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
NAACL 2019, as the entity linking papers use it: the pooled vectors of mention and entity meet in a
dot product.

    r = LN_r(W LN_t(t) + b),   S = r_m · r_e

Frozen: the encoder is whatever the store was extracted with, and W (d_t x d_t) stands in for its
fine-tuning. W starts as the identity, so training starts from the encoder's own similarity.
"""

from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.baselines.vectors import VectorHeads
from stages.heads.settings import HeadsConfig


class Bert(VectorHeads):
    """A shared square map of the global texts."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_t)
        self.w = identity(config.d_t)

    def encode(self, x: Features) -> Tensor:
        return self.w(x.text_global)  # (n, d_t)


def identity(d: int) -> nn.Linear:
    """A linear layer that changes nothing until it is trained."""
    layer = nn.Linear(d, d)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
