"""The lexical unit of the matcher: names, by their characters and their words. Not in the paper.

    S_L = exp(s) cos(x_m, x_e) + exp(c) C

with x the TF-IDF rows of the character n-grams of a mention's words and of an entity's name, and C
the share of the entity's name that the mention's sentence contains. `contained_scale: 0` leaves out
C. On names it beats frozen encoders.
"""

import math
from dataclasses import dataclass

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side


@dataclass(frozen=True)
class LexicalSide(Side):
    """n-grams, rows of unit length, (n, terms); and where C counts, words, (n, words of names)."""

    ngrams: sp.csr_array
    words: sp.csr_array | None


class LexicalUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_L of shape (m, e)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.scale, self.contained_scale = config.lexical_scale, config.contained_scale
        self.s = nn.Parameter(torch.empty(()))
        self.c = nn.Parameter(torch.empty(())) if self.contained_scale else None

    def reset_parameters(self) -> None:
        nn.init.constant_(self.s, math.log(self.scale))
        if self.c is not None:
            nn.init.constant_(self.c, math.log(self.contained_scale))

    def side(self, x: Features) -> LexicalSide:
        return LexicalSide(x.csr("lexical"), None if self.c is None else x.csr("words"))

    mention_side = entity_side = side

    def pairs(self, mentions: LexicalSide, entities: LexicalSide) -> Tensor:
        score = self.s.exp() * _products(mentions.ngrams, entities.ngrams).to(self.s)
        if self.c is None:
            return score
        assert mentions.words is not None
        assert entities.words is not None
        return score + self.c.exp() * _products(mentions.words, entities.words).to(self.s)


def _products(a: sp.csr_array, b: sp.csr_array) -> Tensor:
    return torch.from_numpy((a @ b.T).toarray())
