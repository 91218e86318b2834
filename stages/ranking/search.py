"""The exact best entities of a mention out of very many, of which few are scored.

1. Every entity gets an upper bound of its score from its row of the index, eight bits a number.
   Only the text unit's attention is unknown then.
2. The entities of the highest bounds get their attention from the store's tokens, and the best of
   those their scores from the store itself. The k-th best score is the least that counts.
3. Whoever's bound reaches it gets its attention, and then, where it still does, its score.

No entity that is left out can be among the k best, and every score that is told is the one that
all others tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import UnitSides
from stages.heads.model import Melov
from stages.heads.side import Side
from stages.heads.units.registry import UNITS
from stages.heads.units.unit import NarrowedUnit
from stages.ranking.blocks import entity_blocks
from stages.ranking.coded_index import CodedIndex
from stages.ranking.entity_index import EntityIndex
from stages.ranking.entity_sides import HELD, EntitySides, HeldSides, MadeSides, arrays_alone
from stages.ranking.top import NOT_FINITE, Candidate, Ranked, Scan, candidates, stacked

FIRST = 64
"""Entities of the highest bounds that are looked at before the least score is known."""

MORE = 4
"""Of those, scored beyond the k that are wanted: attention settles the order but for the bits."""

PAIRS_AT_ONCE, LEAST_ROWS = 1 << 19, 16_384
"""Of bounds: rows enough that both cores have work and few operations are called, and few enough
that what they make stays near the processor."""

AT_ONCE, SCORED_AT_ONCE = 2048, 512
"""Entities whose tokens, and whose pictures too, are in memory together: some 100 MB."""

MARGIN = 1e-5
"""Relative: a score's terms round differently in another block."""


def open_ranked(
    folder: Path | None, run: str, model: Heads[Any, Any], cached: CachedFeatures, views: Views,
    size: int,
) -> Ranked:  # fmt: skip
    """The knowledge base of a store, ranked by `model`.

    Args:
        folder: keeps an index of it; None makes the entities' side each time.
        run: what the model was made from: its weights' hash.
        size: entities that are made, or scored, together.

    Raises:
        StoreError: the disk is full.
    """
    if folder is None:
        return Scan(model, views, size, partial(entity_blocks, model, cached, views, size))
    if model.searched is not None:
        return Search.opened(folder, run, cast(Melov, model), cached, views, size)
    index = EntityIndex.opened(folder, run, model, cached, views, size)
    return Scan(model, views, size, index.blocks)


@dataclass(frozen=True)
class Search:
    """A knowledge base that is searched; get one from `opened`.

    Args:
        records: sides of all views, of units that read record arrays alone.
    """

    model: Melov
    sides: EntitySides
    views: Views
    index: CodedIndex
    records: dict[str, Side]

    @classmethod
    @torch.inference_mode()
    def opened(
        cls, folder: Path, run: str, model: Melov, cached: CachedFeatures, views: Views, size: int
    ) -> Search:
        """Open the index in `folder` and make what it lacks; see `CodedIndex.opened`."""

        def codes(rows: np.ndarray) -> UnitSides:
            return codes_of(model, model.entities(cached.entities(rows)))

        index = CodedIndex.opened(folder, run, codes, cached, views, size)
        arrays = arrays_alone(cached, views.rows)
        alone = without_encoder(model)
        records = {name: model.matcher.unit(name).entity_side(arrays) for name in alone}
        sides: EntitySides = MadeSides(model, cached, views)
        if len(views) <= HELD:
            sides = HeldSides(sides, len(views), cached.device)
        return cls(model, sides, views, index, records)

    @torch.inference_mode()
    def top(self, sides: Sequence[UnitSides], k: int) -> list[list[Candidate]]:
        """The k best entities of each mention of `sides`, best first, ties by the lower row.

        Raises:
            MelovError: a score is not finite.
        """
        return [best for block in sides for best in self._top(block, k)]

    def _top(self, mentions: UnitSides, k: int) -> list[list[Candidate]]:
        bounds, of_text = self._bounds(mentions)
        n = bounds.shape[1]
        first = list(bounds.topk(min(FIRST + k, n), 1).indices.sort(1).values)
        tight = self._attended(mentions, bounds, of_text, first)
        best = [
            at[score.topk(min(k + MORE, len(at))).indices.sort().values]
            for at, score in zip(first, tight, strict=True)
        ]
        scores = self._scored(mentions, best)
        least = [score[0].topk(min(k, n)).values[-1] for score in scores]
        left = []
        for i, (row, value, known) in enumerate(zip(bounds, least, first, strict=True)):
            reaches = ~(row < value)
            reaches[known] = False
            at = reaches.nonzero()[:, 0]
            left.append(self._narrowed(_one(mentions, i), row, at, value))
        tighter = self._attended(mentions, bounds, of_text, left)
        more = []
        for i, (value, own) in enumerate(zip(least, best, strict=True)):
            at = torch.cat([first[i][~(tight[i] < value)], left[i][~(tighter[i] < value)]])
            more.append(at[~torch.isin(at, own)].sort().values)
        added = self._scored(mentions, more)
        return [
            candidates(
                torch.cat([scores[i], added[i]], 1), torch.cat([best[i], more[i]]),
                self.model.config.units, self.model.matcher.term_names, self.views, k,
            )
            for i in range(len(best))
        ]  # fmt: skip

    def _bounds(self, mentions: UnitSides) -> tuple[Tensor, Tensor | None]:
        """At least S of all pairs, (m, views), and what of it is the bounded unit's, by the index's
        rows, (m, rows)."""
        matcher = self.model.matcher
        coded, bounded = matcher.coded, matcher.bounded
        reach = {name: unit.reach(mentions.units[name]) for name, unit in coded.items()}
        parts, texts = [], []
        rows = max(LEAST_ROWS, PAIRS_AT_ONCE // _count(mentions))
        for block in self.index.parts(rows):
            bounds = {n: unit.at_most(reach[n], block.units[n]) for n, unit in coded.items()}
            if bounded is not None:
                texts.append(bounds[bounded[0]])
            parts.append(torch.stack(list(bounds.values())).sum(0))
        total = torch.cat(parts, 1)
        if not self.index.in_order:
            total = total.index_select(1, self.index.place)
        for name, side in self.records.items():
            total += matcher.unit(name).pairs(mentions.units[name], side)
        total /= len(matcher.units)
        total.add_(total.abs().add_(1), alpha=MARGIN)
        of_text = torch.cat(texts, 1) if texts else None
        return total, of_text

    def _narrowed(self, mention: UnitSides, bounds: Tensor, at: Tensor, least: Tensor) -> Tensor:
        """The views of `at` whose bound still reaches `least` by what their eight bits say of the
        bounded unit."""
        name, unit = self.model.matcher.bounded or ("", None)
        if not isinstance(unit, NarrowedUnit) or not len(at):
            return at
        codes = self.index.take(name, at)
        excess = unit.excess(mention.units[name], codes) / len(self.model.matcher.units)
        return at[~(bounds[at] - excess < least)]

    def _attended(
        self, mentions: UnitSides, bounds: Tensor, of_text: Tensor | None, wanted: Sequence[Tensor]
    ) -> list[Tensor]:
        """Bounds of some views of each mention, with the text unit's score in the place of its
        bound."""
        found = [row[at] for row, at in zip(bounds, wanted, strict=True)]
        matcher = self.model.matcher
        if of_text is None or matcher.bounded is None:
            return found
        name, _ = matcher.bounded
        for chunk, parts in _chunks(wanted, AT_ONCE):
            text = self.sides.unit(name, chunk.cpu().numpy())
            for i, (mine, place) in parts.items():
                own = _one(mentions, i).units[name]
                exact = matcher.unit(name).pairs(own, text.take(place))[0]
                most = of_text[i, self.index.place[chunk[place]]]
                found[i][mine] += (exact - most) / len(matcher.units)
        return found

    def _scored(self, mentions: UnitSides, wanted: Sequence[Tensor]) -> list[Tensor]:
        """Scores of some views of each mention: `stacked`, (1 + units + terms, views)."""
        rows = 1 + len(self.model.config.units) + len(self.model.matcher.term_names)
        found = [torch.empty(rows, len(at), device=at.device) for at in wanted]
        for chunk, parts in _chunks(wanted, SCORED_AT_ONCE):
            entities = self.sides.whole(chunk.cpu().numpy())
            for i, (mine, place) in parts.items():
                score = self.model.matcher.pairs(_one(mentions, i), entities.take(place))
                found[i][:, mine] = stacked(score)[:, 0]
        if not all(torch.isfinite(score).all() for score in found):
            raise MelovError("a score is not finite", NOT_FINITE)
        return found


def codes_of(model: Melov, side: UnitSides) -> UnitSides:
    """In eight bits, of the units that know entities so."""
    coded = model.matcher.coded
    return UnitSides({name: unit.codes(side.units[name]) for name, unit in coded.items()})


def without_encoder(model: Melov) -> list[str]:
    """The units that read record arrays alone."""
    return [name for name in model.config.units if not UNITS[name].encoded]


def _count(mentions: UnitSides) -> int:
    return len(next(iter(mentions.to_arrays().values())))


def _one(mentions: UnitSides, i: int) -> UnitSides:
    return mentions.take(torch.tensor([i]))


def _chunks(
    wanted: Sequence[Tensor], size: int
) -> Iterator[tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]]:
    """All that any mention wants, `size` views at a time, in ascending order; and by mention which
    of its views are among them, and their places there.

    Args:
        wanted: ascending.
    """
    for chunk in torch.unique(torch.cat(list(wanted))).split(size):
        parts = {}
        if not len(chunk):
            continue
        for i, at in enumerate(wanted):
            mine = ((at >= chunk[0]) & (at <= chunk[-1])).nonzero()[:, 0]
            if len(mine):
                parts[i] = mine, torch.searchsorted(chunk, at[mine])
        yield chunk, parts
