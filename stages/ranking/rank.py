"""Exact ranking over the whole knowledge base in bounded memory.

The entities' side of the matcher is computed once a block and dropped; of the scores only the
counts of better and equal entities are kept. Neither grows with the knowledge base. Bounds spare
most pairs the attention (`screen.py`); the ranks are those of all scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.features.batches import MentionInputs
from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import Matcher
from stages.progress import progress
from stages.ranking.blocks import entity_blocks
from stages.ranking.screen import Screen, entity_bounds
from stages.share import WHOLE, Share

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
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, split: str, rows: np.ndarray,
    gold: np.ndarray, config: EvaluateConfig,
) -> np.ndarray:  # fmt: skip
    """`rank_all` for one split."""
    return rank_all(model, inputs, views, [Wanted(split, rows, gold)], config)[0]


def rank_all(
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, wanted: Sequence[Wanted],
    config: EvaluateConfig,
) -> list[np.ndarray]:  # fmt: skip
    """Rank of each mention's gold entity: 1 + entities scored higher + half of those equal.

    Returns:
        float64 (m,) for each of `wanted`, in the order of its rows.
    """
    return ranks(count_better(model, inputs, views, wanted, config), views, wanted)


def ranks(better: np.ndarray, views: Views, wanted: Sequence[Wanted]) -> list[np.ndarray]:
    """What `rank_all` gives, of the whole knowledge base's `count_better`: that of its shares,
    added up, in whatever order."""
    gold = np.concatenate([w.gold for w in wanted])
    equal = views.counts[views.of_entity[gold]] - 1  # of the gold entity's own view
    firsts = np.cumsum([len(w.rows) for w in wanted])
    return np.split(1 + better + equal / 2, firsts[:-1])


@torch.inference_mode()
def count_better(
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, wanted: Sequence[Wanted],
    config: EvaluateConfig, share: Share = WHOLE,
) -> np.ndarray:  # fmt: skip
    """Entities of a share of the knowledge base that are scored higher than a mention's gold one,
    plus half of those equal in other views; float64, for all of `wanted`, one after the other.

    The knowledge base passes by once for every `MENTIONS_AT_ONCE` mentions, of whatever split.
    """
    model.eval()
    screened = model.screened if config.screen else None
    firsts = np.cumsum([0, *(len(w.rows) for w in wanted)])
    better = np.zeros(firsts[-1])
    places = [
        (w, first + part, part)
        for w, first in zip(wanted, firsts, strict=False)
        for part in by_length(inputs.cached, w, config.mention_rows)
    ]
    at_once = max(1, MENTIONS_AT_ONCE // config.mention_rows)
    names = " and ".join(w.split for w in wanted)
    of_share = len(views) // share.of
    with progress(len(better) * of_share, "pairs", f"rank {names}") as bar:
        for lo in range(0, len(places), at_once):
            blocks = [
                _gold_block(model, inputs, views, w, place, part, screened)
                for w, place, part in places[lo : lo + at_once]
            ]
            for start, side in entity_blocks(
                model, inputs.cached, views, config.entity_rows, share
            ):
                stop = min(start + config.entity_rows, len(views))
                counts = torch.from_numpy(views.counts[start:stop]).to(inputs.cached.device)
                at = torch.arange(start, stop, device=counts.device)
                bounds = None if screened is None else entity_bounds(screened, side)
                for block in blocks:
                    own = at == block.gold_view[:, None]
                    if block.screen is None:
                        total = model.matcher.pairs(block.side, side).total
                    else:
                        total = block.screen.scores(side, bounds, own)
                    better[block.place] += _better(block, total, own, counts.double())
                    bar.update(len(block.place) * (stop - start))
    return better


def by_length(cached: CachedFeatures, wanted: Wanted, size: int) -> list[np.ndarray]:
    """Places of `wanted.rows` in parts of `size` mentions of similar length."""
    lengths = cached.text_rows[f"mentions/{wanted.split}"][wanted.rows]  # stored by length
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + size] for i in range(0, len(order), size)]


def _better(block: _Block, total: Tensor, own: Tensor, counts: Tensor) -> np.ndarray:
    """Entities of a block of views scored higher, plus half of those equal, but for their `own`."""
    if not torch.isfinite(total).all():
        raise MelovError(
            "a score is not finite: the heads have diverged", "lower train.learning_rate"
        )
    gold = block.gold_score[:, None]
    weight = (total > gold).double() + (total == gold).double() / 2
    found: np.ndarray = (weight.masked_fill(own, 0) @ counts).cpu().numpy()
    return found


def _gold_block(
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, wanted: Wanted, place: np.ndarray,
    part: np.ndarray, screened: Matcher | None,
) -> _Block:  # fmt: skip
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
        None if screened is None else Screen(screened, side, score),
    )
