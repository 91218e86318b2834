"""The best entities of a few mentions, with every partial score."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from cache.errors import MelovError
from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import Scores
from stages.progress import progress
from stages.ranking.blocks import entity_blocks
from stages.ranking.entity_index import EntityIndex

NOT_FINITE = "train the run again with a lower train.learning_rate, or remove its index"


Blocks = Iterator[tuple[int, Any]]
"""(first view, the side of the views from there on)."""


@dataclass(frozen=True)
class Candidate:
    """One entity for one mention, with every partial score.

    units: each unit's; terms: what those are made of, as far as it is known (`Scores.terms`).
    """

    entity: int
    score: float
    units: dict[str, float]
    terms: dict[str, float] = field(default_factory=dict)


class Ranked(Protocol):
    """A knowledge base that mentions are ranked against."""

    def top(self, sides: Sequence[Any], k: int) -> list[list[Candidate]]:
        """The k best entities of each mention of `sides`, best first, ties by the lower row."""


@dataclass(frozen=True)
class Scan:
    """Scores every entity, whatever the heads.

    Args:
        blocks: gives the entities' side from the first view on, in blocks of `size`.
    """

    model: Heads[Any, Any]
    views: Views
    size: int
    blocks: Callable[[], Blocks]

    def top(self, sides: Sequence[Any], k: int) -> list[list[Candidate]]:
        return _top_of(self.model, self.blocks(), self.views, sides, k, self.size)


def top_entities(
    model: Heads[Any, Any], cached: CachedFeatures, views: Views, sides: Sequence[Any], k: int,
    size: int, index: EntityIndex[Any] | None = None,
) -> list[list[Candidate]]:  # fmt: skip
    """The k best entities of each mention of `sides`, best first, ties by the lower row.

    The knowledge base passes by once for all of them, in blocks of `size` views.

    Args:
        index: has the entities' side in blocks of the same size; None makes it.
    """
    blocks = entity_blocks(model, cached, views, size) if index is None else index.blocks()
    return _top_of(model, blocks, views, sides, k, size)


@torch.inference_mode()
def _top_of(
    model: Heads[Any, Any], blocks: Blocks, views: Views, sides: Sequence[Any], k: int, size: int
) -> list[list[Candidate]]:
    best: list[_Best | None] = [None] * len(sides)
    with progress(len(views), "entities", "rank") as bar:
        for start, entities in blocks:
            for i, side in enumerate(sides):
                found = model.matcher.pairs(side, entities)
                if not torch.isfinite(found.total).all():
                    raise MelovError("a score is not finite", NOT_FINITE)
                best[i] = _merged(best[i], found, start, k)
            bar.update(min(size, len(views) - start))
    named = []
    for block in best:
        assert block is not None
        named += [
            candidates(block.scores[:, i], block.views[i], block.units, block.terms, views, k)
            for i in range(block.views.shape[0])
        ]
    return named


def candidates(
    scores: Tensor, at: Tensor, units: Sequence[str], terms: Sequence[str], views: Views, k: int
) -> list[Candidate]:
    """The k best entities of some views of one mention, best first, ties by the lower row.

    Shapes:
        scores: (1 + units + terms, n) S, each unit's, and each term; at: (n,) the views
    """
    n = len(units)
    found = [
        Candidate(
            int(entity),
            score,
            dict(zip(units, parts[:n], strict=True)),
            dict(zip(terms, parts[n:], strict=True)),
        )
        for view, (score, *parts) in zip(at.tolist(), scores.T.tolist(), strict=True)
        for entity in views.members(view)[:k]
    ]
    return sorted(found, key=lambda c: (-c.score, c.entity))[:k]


@dataclass(frozen=True)
class _Best:
    """The best views so far of a block of mentions: scores (1 + units + terms, m, k), views
    (m, k)."""

    scores: Tensor
    views: Tensor
    units: tuple[str, ...]
    terms: tuple[str, ...]


def _merged(best: _Best | None, found: Scores, start: int, k: int) -> _Best:
    """`best` and the views from `start` on; a tie at the k-th place may be cut either way."""
    scores = stacked(found)
    views = torch.arange(start, start + scores.shape[2], device=scores.device)
    views = views.expand(scores.shape[1], -1)
    if best is not None:
        scores, views = torch.cat([best.scores, scores], 2), torch.cat([best.views, views], 1)
    top = scores[0].topk(min(k, scores.shape[2]), dim=1).indices
    kept = scores.gather(2, top.expand(len(scores), -1, -1))
    return _Best(kept, views.gather(1, top), tuple(found.units), tuple(found.terms))


def stacked(found: Scores) -> Tensor:
    """S, each unit's score and each term, (1 + units + terms, m, e)."""
    return torch.stack([found.total, *found.units.values(), *found.terms.values()])
