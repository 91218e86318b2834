"""Zero-shot: what names and frozen texts say by themselves. Nothing is trained, no label is read.

    S = max_a cos(x_m, x_a) + max_a C_a + w cos(t_m, t_e)

over the names a of an entity, its own and its aliases, with x the TF-IDF rows of the n-grams of the
mention's words and of a name, C_a the share of the name's words that the mention's sentence
contains (both as in the lexical unit, M15'), and t the encoder's global texts. An entity's prior is
left out, since its weight would have to be learned. Not in the paper: it links against a knowledge
base of which no mention is labelled, and is the sum that trained heads have to beat.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.features.features import Features
from stages.features.names import Names, best_products, own_names
from stages.heads.baselines.vectors import Untrained
from stages.heads.matcher import Scores
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side

WEIGHT = 1.0
"""w, the same for all data: a weight that is chosen needs labels. On the validation split of one
data set 1 to 4 were within 0.2 points of MRR of each other (docs/results.md)."""


@dataclass(frozen=True)
class ZeroShotSide(Side):
    """n-grams, rows of unit length, (n, terms); words, (n, words of names); t of unit length."""

    ngrams: Names
    words: Names
    t: Tensor


class Sum(nn.Module):
    """S of all pairs, and its three parts."""

    def pairs(self, mentions: ZeroShotSide, entities: ZeroShotSide) -> Scores:
        m, e = mentions, entities
        units = {
            "lexical": _product(m.ngrams, e.ngrams, m.t),
            "contained": _product(m.words, e.words, m.t),
            "text": m.t @ e.t.T,
        }
        return Scores(units["lexical"] + units["contained"] + WEIGHT * units["text"], units)


class ZeroShot(Untrained[ZeroShotSide]):
    """Heads without a parameter over cached names and texts."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config)
        self.matcher = Sum()

    def entities(self, entities: Features) -> ZeroShotSide:
        t = F.normalize(entities.text_global, dim=1)
        return ZeroShotSide(entities.names("lexical"), entities.names("words"), t)


def _product(mentions: Names, entities: Names, like: Tensor) -> Tensor:
    return torch.from_numpy(best_products(own_names(mentions), entities)).to(like)
