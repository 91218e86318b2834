"""Another order of a mention's best entities, by what is too costly to read of all. Not in the
paper.

    S'_c = S_c + mean over members i of f_i(x_c)

for the candidates c among the best k by S, where x_c is what `inputs` makes of the scores and of
the names, standardised, and f_i a perceptron of two hidden layers whose last one starts at zero: so
the order starts as S has it. Who is not among the k keeps its place behind them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.rerank.alignment import COLUMNS
from stages.rerank.lists import Lists

HIDDEN, MEMBERS, DROPOUT = 32, 4, 0.1


def width(terms: int) -> int:
    """Numbers of a candidate that the members read."""
    return 2 + 2 * terms + len(COLUMNS)


def inputs(lists: Lists) -> Tensor:
    """Of every candidate: how far S and each of its terms are from the list's best, the terms
    themselves, the softmax of S, and the names; (m, k, width)."""
    there = lists.there
    best = lists.scores[:, :1]
    lowest = torch.finfo(torch.float32).min
    highest = lists.terms.masked_fill(~there[..., None], lowest).amax(1, keepdim=True)
    parts = [
        torch.where(there, lists.scores - best, 0.0)[..., None],
        lists.scores.softmax(1)[..., None],
        lists.terms,
        torch.where(there[..., None], lists.terms - highest, 0.0),
        lists.names,
    ]
    return torch.cat(parts, -1)


class Reranker(nn.Module):
    """See the module's docstring.

    Args:
        terms: of S, which the lists have.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        n = width(terms)
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.members = nn.ModuleList(_member(n) for _ in range(MEMBERS))

    def standardise(self, lists: Lists) -> None:
        """By what the numbers of these lists are; one that never varies counts as zero."""
        x = inputs(lists)[lists.there].double()
        self.mean = x.mean(0).float()
        spread = x.std(0, correction=0).float()
        self.scale = torch.where(spread > 1e-6, 1 / spread, 0.0)

    def changes(self, lists: Lists) -> Tensor:
        """What each member adds to S, (members, m, k)."""
        x = (inputs(lists) - self.mean) * self.scale
        return torch.stack([member(x)[..., 0] for member in self.members])

    def forward(self, lists: Lists) -> Tensor:
        """S', -inf where there is no entity, (m, k)."""
        return lists.scores + self.changes(lists).mean(0)


def _member(n: int) -> nn.Module:
    last = nn.Linear(HIDDEN, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(n, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), last,
    )  # fmt: skip
