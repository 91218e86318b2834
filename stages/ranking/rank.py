"""Exact ranking over the whole knowledge base in bounded memory.

The entities' side of the matcher is computed once a block and dropped; of the scores only the
counts of better and equal entities are kept. Neither grows with the knowledge base. Bounds spare
most pairs the attention (`screen.py`); the ranks are those of all scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.features.inputs import CachedFeatures, MentionInputs
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import Matcher, MentionSide, Scores
from stages.heads.units.text_bounds import EntityBounds
from stages.progress import progress
from stages.ranking.entity_index import EntityIndex
from stages.ranking.screen import Screen, block_bounds

MENTIONS_AT_ONCE = 8192
"""Mentions whose side is held in memory while the knowledge base passes by."""


@dataclass(frozen=True)
class Wanted:
    """What to rank: distinct mentions of a split, rows (m,), and their gold entities' rows (m,)."""

    split: str
    rows: np.ndarray
    gold: np.ndarray


@dataclass(frozen=True)
class _Block:
    """A few mentions of similar length with their gold views and gold scores."""

    place: np.ndarray  # where the caller's order has them
    side: Any  # what the model's matcher takes
    gold_view: Tensor
    gold_score: Tensor
    screen: Screen | None


def rank_gold(
    model: Heads,
    inputs: MentionInputs,
    views: Views,
    split: str,
    rows: np.ndarray,
    gold: np.ndarray,
    config: EvaluateConfig,
) -> np.ndarray:
    """`rank_all` for one split."""
    return rank_all(model, inputs, views, [Wanted(split, rows, gold)], config)[0]


@torch.inference_mode()
def rank_all(
    model: Heads,
    inputs: MentionInputs,
    views: Views,
    wanted: Sequence[Wanted],
    config: EvaluateConfig,
) -> list[np.ndarray]:
    """Rank of each mention's gold entity: 1 + entities scored higher + half of those equal.

    The knowledge base passes by once for every `MENTIONS_AT_ONCE` mentions, of whatever split.

    Returns
    -------
    float64 (m,) for each of `wanted`, in the order of its rows.
    """
    model.eval()
    firsts = np.cumsum([0, *(len(w.rows) for w in wanted)])
    ranks = np.empty(firsts[-1], dtype=np.float64)
    places = [
        (w, first + part, part)
        for w, first in zip(wanted, firsts, strict=False)
        for part in _by_length(inputs.cached, w, config.mention_rows)
    ]
    at_once = max(1, MENTIONS_AT_ONCE // config.mention_rows)
    names = " and ".join(w.split for w in wanted)
    with progress(len(ranks) * len(views), "pairs", f"rank {names}") as bar:
        for lo in range(0, len(places), at_once):
            blocks = [
                _gold_block(model, inputs, views, w, place, part, config.screen)
                for w, place, part in places[lo : lo + at_once]
            ]
            above = np.zeros(len(ranks))
            for start, side in _entity_blocks(model, inputs.cached, views, config.entity_rows):
                stop = min(start + config.entity_rows, len(views))
                counts = torch.from_numpy(views.counts[start:stop]).to(inputs.cached.device)
                bounds = block_bounds(side) if blocks[0].screen is not None else None
                for block in blocks:
                    total = _scores(model, block, side, bounds, start, stop)
                    above[block.place] += _better(block, total, start, stop, counts.double())
                    bar.update(len(block.place) * (stop - start))
            for block in blocks:
                equal = views.counts[block.gold_view.cpu().numpy()] - 1
                ranks[block.place] = 1 + above[block.place] + equal / 2
    return np.split(ranks, firsts[1:-1])


def _by_length(cached: CachedFeatures, wanted: Wanted, size: int) -> list[np.ndarray]:
    """Places of `wanted.rows` in parts of `size` mentions of similar length."""
    lengths = cached.text_rows[f"mentions/{wanted.split}"][wanted.rows]  # stored by length
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + size] for i in range(0, len(order), size)]


def _scores(
    model: Heads,
    block: _Block,
    side: Any,
    bounds: EntityBounds | None,
    start: int,
    stop: int,
) -> Tensor:
    """S of a block of mentions and the views from start to stop, where it can reach the gold's."""
    if block.screen is None or bounds is None:
        return model.matcher.pairs(block.side, side).total
    return block.screen.scores(side, bounds, _own(block, start, stop))


def _own(block: _Block, start: int, stop: int) -> Tensor:
    views = torch.arange(start, stop, device=block.gold_view.device)
    return views == block.gold_view[:, None]


def _better(block: _Block, total: Tensor, start: int, stop: int, counts: Tensor) -> np.ndarray:
    """Entities of a block of views scored higher, plus half of those equal, but for the gold."""
    if not torch.isfinite(total).all():
        raise MelovError(
            "a score is not finite: the heads have diverged", "lower train.learning_rate"
        )
    gold = block.gold_score[:, None]
    weight = (total > gold).double() + (total == gold).double() / 2
    found: np.ndarray = (weight.masked_fill(_own(block, start, stop), 0) @ counts).cpu().numpy()
    return found


def _gold_block(
    model: Heads,
    inputs: MentionInputs,
    views: Views,
    wanted: Wanted,
    place: np.ndarray,
    part: np.ndarray,
    screen: bool,
) -> _Block:
    side, _ = model.mentions(inputs.batch(wanted.split, wanted.rows[part]))
    view = views.of_entity[wanted.gold[part]]
    distinct, where = np.unique(view, return_inverse=True)
    entities = model.entities(inputs.cached.entities(views.rows[distinct]))
    total = model.matcher.pairs(side, entities).total
    column = torch.from_numpy(where.reshape(-1)).to(total.device)
    score = total.gather(1, column[:, None])[:, 0]
    return _Block(
        place,
        side,
        torch.from_numpy(view).to(total.device),
        score,
        _screen(model, side, score) if screen else None,
    )


def _screen(model: Heads, side: Any, gold_score: Tensor) -> Screen | None:
    """Only the text unit's attention is worth a bound; a baseline's pairs are plain products."""
    matcher = model.matcher
    if not isinstance(matcher, Matcher) or not isinstance(side, MentionSide) or side.text is None:
        return None
    return Screen(matcher, side, gold_score)


def _entity_blocks(
    model: Heads, cached: CachedFeatures, views: Views, size: int
) -> Iterator[tuple[int, Any]]:
    for start in range(0, len(views), size):
        yield start, model.entities(cached.entities(views.rows[start : start + size]))


@dataclass(frozen=True)
class Candidate:
    """One entity for one mention, with every partial score."""

    entity: int
    score: float
    units: dict[str, float]


@torch.inference_mode()
def top_entities(
    model: Heads,
    cached: CachedFeatures,
    views: Views,
    sides: Sequence[Any],
    k: int,
    size: int,
    index: EntityIndex | None = None,
) -> list[list[Candidate]]:
    """The k best entities of each mention of `sides`, best first, ties by the lower row.

    The knowledge base passes by once for all of them, in blocks of `size` views.

    Parameters
    ----------
    index: has the entities' side in blocks of the same size; None makes it.
    """
    best: list[_Best | None] = [None] * len(sides)
    blocks = _entity_blocks(model, cached, views, size) if index is None else index.blocks()
    with progress(len(views), "entities", "rank") as bar:
        for start, entities in blocks:
            for i, side in enumerate(sides):
                best[i] = _merged(best[i], model.matcher.pairs(side, entities), start, k)
            bar.update(min(size, len(views) - start))
    members = np.argsort(views.of_entity, kind="stable")
    firsts = np.concatenate([[0], np.cumsum(views.counts)])
    found = []
    for block in best:
        assert block is not None
        scores, columns = block.scores.cpu().numpy(), block.views.cpu().numpy()
        for mention in range(columns.shape[0]):
            candidates = [
                Candidate(int(entity), score, dict(zip(block.units, parts, strict=True)))
                for view, (score, *parts) in zip(
                    columns[mention], scores[:, mention].T.tolist(), strict=True
                )
                for entity in members[firsts[view] : firsts[view + 1]][:k]
            ]
            found.append(sorted(candidates, key=lambda c: (-c.score, c.entity))[:k])
    return found


@dataclass(frozen=True)
class _Best:
    """The best views so far of a block of mentions: scores (1 + units, m, k), views (m, k)."""

    scores: Tensor
    views: Tensor
    units: tuple[str, ...]


def _merged(best: _Best | None, found: Scores, start: int, k: int) -> _Best:
    """`best` and the views from `start` on; a tie at the k-th place may be cut either way."""
    scores = torch.stack([found.total, *found.units.values()])
    views = torch.arange(start, start + scores.shape[2], device=scores.device)
    views = views.expand(scores.shape[1], -1)
    if best is not None:
        scores, views = torch.cat([best.scores, scores], 2), torch.cat([best.views, views], 1)
    top = scores[0].topk(min(k, scores.shape[2]), dim=1).indices
    kept = scores.gather(2, top.expand(len(scores), -1, -1))
    return _Best(kept, views.gather(1, top), tuple(found.units))
