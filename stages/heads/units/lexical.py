"""The lexical unit of the matcher: names, by their characters and their words. Not in the paper.

    S_L = exp(s) max_a cos(x_m, x_a) + exp(c) max_a C_a + w_p log p_e

over the names a of an entity, its own and its aliases, with x the TF-IDF rows of the character
n-grams of a mention's words and of a name, C_a the share of the name that the mention's sentence
contains, and p_e the entity's prior. `contained_scale: 0` leaves out C; a knowledge base without
priors, or `prior_weight: 0`, the last term. On names it beats frozen encoders.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stages.features.features import Features
from stages.features.names import Names, best_products, own_names
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side
from stages.heads.units.unit import Scale, summed


@dataclass(frozen=True)
class LexicalSide(Side):
    """n-grams, rows of unit length, (n, terms); where C counts, words, (n, words of names); and of
    entities whose prior counts, its logarithm, (n, 1).

    Entities of a knowledge base with aliases have a row a name.
    """

    ngrams: Names
    words: Names | None
    prior: Tensor | None = None


class LexicalUnit(nn.Module):
    """Scores of all pairs; `pairs` gives S_L of shape (m, e)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.scale, self.contained_scale = config.lexical_scale, config.contained_scale
        self.s = nn.Parameter(torch.empty(()))
        self.c = nn.Parameter(torch.empty(())) if self.contained_scale else None
        self.prior_weight = config.prior_weight
        self.w_p = nn.Parameter(torch.empty(())) if config.prior else None

    def reset_parameters(self) -> None:
        nn.init.constant_(self.s, math.log(self.scale))
        if self.c is not None:
            nn.init.constant_(self.c, math.log(self.contained_scale))
        if self.w_p is not None:
            nn.init.constant_(self.w_p, self.prior_weight)

    def mention_side(self, x: Features) -> LexicalSide:
        return LexicalSide(x.names("lexical"), None if self.c is None else x.names("words"))

    def entity_side(self, x: Features) -> LexicalSide:
        side = self.mention_side(x)
        if self.w_p is None:
            return side
        return replace(side, prior=torch.as_tensor(x.arrays["prior"]).to(self.w_p))

    @property
    def term_names(self) -> tuple[str, ...]:
        there = {"ngrams": True, "contained": self.c is not None, "prior": self.w_p is not None}
        return tuple(name for name, is_there in there.items() if is_there)

    @property
    def scales(self) -> dict[str, Scale]:
        found = {"ngrams": Scale(self.s, True)}
        if self.c is not None:
            found["contained"] = Scale(self.c, True)
        if self.w_p is not None:
            found["prior"] = Scale(self.w_p, False)
        return found

    def terms(self, mentions: LexicalSide, entities: LexicalSide) -> dict[str, Tensor]:
        """`ngrams`, `contained` and `prior`, as far as there are any."""
        ngrams = _products(mentions.ngrams, entities.ngrams).to(self.s)
        found = {"ngrams": self.s.exp() * ngrams}
        if self.c is not None:
            assert mentions.words is not None
            assert entities.words is not None
            contained = _products(mentions.words, entities.words).to(self.s)
            found["contained"] = self.c.exp() * contained
        if self.w_p is not None:
            assert entities.prior is not None
            found["prior"] = (self.w_p * entities.prior.T).expand_as(ngrams)
        return found

    def pairs(self, mentions: LexicalSide, entities: LexicalSide) -> Tensor:
        return summed(self.terms(mentions, entities))


def _products(mentions: Names, entities: Names) -> Tensor:
    return torch.from_numpy(best_products(own_names(mentions), entities))
