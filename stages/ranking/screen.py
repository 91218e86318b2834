"""Spares most pairs the costly part of a unit (the text unit's attention); no rank changes.

Whether an entity is scored above a mention's gold one is settled by an upper bound of its score for
all but a few pairs. Those few are scored exactly.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stages.heads.matcher import Matcher, UnitSides

AT_ONCE = 512
"""Pairs whose attention is made in one product: some 20 MB of gathered tokens."""

ALONE, WHOLE = 0.05, 0.6
"""Shares of a mention's entities in the block that are open: up to the first, pairs are scored one
by one; up to the second, those entities together; beyond it, the whole block."""

MARGIN = 1e-5
"""Relative, of the comparison: a score's other terms round differently in another block."""


class Screen:
    """A batch of mentions whose gold scores are known.

    Args:
        matcher: one with a bounded unit.
        gold_score: (m,) S of each mention's gold entity.
    """

    def __init__(self, matcher: Matcher, mentions: UnitSides, gold_score: Tensor) -> None:
        assert matcher.bounded is not None
        self.matcher, self.mentions, self.gold_score = matcher, mentions, gold_score[:, None]
        self.name, self.unit = matcher.bounded
        self.weight = self.unit.weight / len(matcher.units)
        """What one unit of the costly part adds to S."""
        self.own = mentions.units[self.name]
        self.bounds = self.unit.mention_bounds(self.own)
        self.least = self.gold_score - MARGIN * (1 + self.gold_score.abs())

    def scores(self, entities: UnitSides, bounds: Any, gold: Tensor) -> Tensor:
        """S of every pair that can reach the gold score; less than that score for the others.

        NaN or infinity in a score shows in the result.

        Args:
            bounds: of `entity_bounds` for these entities.
            gold: (m, e) True at the gold entities, which need no score of their own.
        """
        return self._settled(entities, bounds, gold)[0]

    def terms(
        self, entities: UnitSides, bounds: Any, gold: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The same, with the terms that the scores are made of: those of whoever is scored."""
        scores, rest, terms = self._settled(entities, bounds, gold)
        first = next(iter(terms))
        costly = (scores - rest) * len(self.matcher.units)
        return scores, {**terms, first: terms[first] + costly}

    def _settled(
        self, entities: UnitSides, bounds: Any, gold: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """`scores`, and what they and the terms are without the costly part."""
        own, theirs, unit = self.own, entities.units[self.name], self.unit
        scores, terms = self.matcher.rest(self.mentions, entities)
        bound = torch.add(scores, unit.bound(self.bounds, bounds), alpha=self.weight)
        open_ = ~(bound < self.least)  # NaN is open
        open_ &= ~gold
        share = open_.sum(1) / open_.shape[1]
        result = torch.full_like(scores, -torch.finfo(scores.dtype).max)

        def settle(at: tuple[Tensor, Tensor], costly: Tensor) -> None:
            result[at] = torch.add(scores[at], costly, alpha=self.weight)

        whole = (share > WHOLE).nonzero()  # (rows, 1): one index a row, all columns
        if len(whole):
            columns = torch.arange(scores.shape[1], device=scores.device)
            settle((whole, columns), unit.costly(own.take(whole[:, 0]), theirs))
        for row in ((share > ALONE) & (share <= WHOLE)).nonzero():
            columns = open_[row[0]].nonzero()[:, 0]
            settle((row, columns), unit.costly(own.take(row), theirs.take(columns))[0])
        for i, j in _parts(open_ & (share <= ALONE)[:, None]):
            settle((i, j), unit.costly_at(own, theirs, i, j))
        return result, scores, terms


def entity_bounds(matcher: Matcher, entities: UnitSides) -> Any:
    """The entities' side of the bound, once a block."""
    assert matcher.bounded is not None
    name, unit = matcher.bounded
    return unit.entity_bounds(entities.units[name])


def _parts(wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    i, j = wanted.nonzero(as_tuple=True)
    order = j.argsort(stable=True)  # entities stand by length: little padding in a part
    for part in order.split(AT_ONCE) if len(order) else ():
        yield i[part], j[part]
