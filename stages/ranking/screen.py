"""Spares most pairs the text unit's attention, without a change to any rank.

Whether an entity is scored above a mention's gold one is settled by an upper bound of its score for
all but a few pairs. Those few are scored exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stages.heads.matcher import EntitySide, Matcher, MentionSide
from stages.heads.units.text_bounds import EntityBounds, entity_bounds, mention_bounds, upper_bound

AT_ONCE = 512
"""Pairs whose attention is made in one product: some 20 MB of gathered tokens."""

ALONE, WHOLE = 0.05, 0.6
"""Shares of a mention's entities in the block that are open: up to the first, pairs are scored one
by one; up to the second, those entities together; beyond it, the whole block."""

MARGIN = 1e-5
"""Relative, of the comparison: a score's other terms round differently in another block."""


class Screen:
    """A batch of mentions whose gold scores are known.

    Parameters
    ----------
    gold_score: (m,) S of each mention's gold entity.
    """

    def __init__(self, matcher: Matcher, mentions: MentionSide, gold_score: Tensor) -> None:
        assert mentions.text is not None
        self.matcher, self.mentions, self.gold_score = matcher, mentions, gold_score[:, None]
        self.text = mentions.text
        self.bounds = mention_bounds(mentions.text, matcher.text.ln_c.eps)
        self.least = self.gold_score - MARGIN * (1 + self.gold_score.abs())

    def scores(self, entities: EntitySide, bounds: EntityBounds, own: Tensor) -> Tensor:
        """S of every pair that can reach the gold score; less than that score for the others.

        NaN or infinity in a score shows in the result.

        Parameters
        ----------
        own: (m, e) True at the gold entities, which need no score of their own.
        """
        assert entities.text is not None
        weight, text = self.matcher.g2l_weight, self.matcher.text
        scores = self.matcher.rest(self.mentions, entities)
        bound = torch.add(scores, upper_bound(self.bounds, bounds), alpha=weight)
        open_ = ~(bound < self.least)  # NaN is open
        open_ &= ~own
        share = open_.sum(1) / open_.shape[1]
        result = torch.full_like(scores, -torch.finfo(scores.dtype).max)

        def settle(at: tuple[Tensor, Tensor], g2l: Tensor) -> None:
            result[at] = torch.add(scores[at], g2l, alpha=weight)

        whole = (share > WHOLE).nonzero()  # (rows, 1): one index a row, all columns
        if len(whole):
            columns = torch.arange(scores.shape[1], device=scores.device)
            g2l = text.global_to_local(self.text.take(whole[:, 0]), entities.text)
            settle((whole, columns), g2l)
        for row in ((share > ALONE) & (share <= WHOLE)).nonzero():
            columns = open_[row[0]].nonzero()[:, 0]
            g2l = text.global_to_local(self.text.take(row), entities.text.take(columns))
            settle((row, columns), g2l[0])
        for i, j in _parts(open_ & (share <= ALONE)[:, None]):
            settle((i, j), text.global_to_local_at(self.text, entities.text, i, j))
        return result


def block_bounds(entities: EntitySide) -> EntityBounds:
    """The entities' side of the bound, once a block."""
    assert entities.text is not None
    return entity_bounds(entities.text)


def _parts(wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    i, j = wanted.nonzero(as_tuple=True)
    order = j.argsort(stable=True)  # entities stand by length: little padding in a part
    for part in order.split(AT_ONCE) if len(order) else ():
        yield i[part], j[part]
