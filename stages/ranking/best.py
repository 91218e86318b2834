"""The best scores of many mentions, as probabilities need them, in bounded memory.

What `top_entities` finds for a few mentions with every partial score is too costly for whole
splits. Here bounds spare most pairs the attention, as they do in ranking (`screen.py`): whatever
cannot reach a mention's k-th best score so far needs no score of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.features.batches import MentionInputs
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.progress import progress
from stages.ranking.blocks import entity_blocks
from stages.ranking.rank import MENTIONS_AT_ONCE, Wanted, by_length
from stages.ranking.screen import MARGIN, Screen, entity_bounds

PLAIN = 64
"""As often as k views are met without bounds: the k-th best of fewer spares so few of the others
that looking for them costs more than it spares."""


@dataclass(frozen=True)
class BestScores:
    """Of m mentions, float64.

    Args:
        scores: the k best of the knowledge base, best first; -inf past its end. Shape: (m, k).
        entities: their rows, the lowest first among equals; -1 past the end. Shape: (m, k).
    """

    scores: np.ndarray
    entities: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def entity(self) -> np.ndarray:
        """The row of the best one, the lowest among equals, shape: (m,)."""
        return self.entities[:, 0]

    @classmethod
    def joined(cls, first: BestScores, second: BestScores) -> BestScores:
        """The mentions of both."""
        pairs = (first.scores, second.scores), (first.entities, second.entities)
        return cls(*map(np.concatenate, pairs))


@torch.inference_mode()
def best_scores(
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, wanted: Sequence[Wanted], k: int,
    config: EvaluateConfig,
) -> list[BestScores]:  # fmt: skip
    """The `k` best scores of each mention, for each of `wanted`, in the order of its rows.

    Args:
        wanted: their `gold` is not read.

    Raises:
        MelovError: a score is not finite.
    """
    model.eval()
    found = [_empty(len(w.rows), k) for w in wanted]
    parts = [
        (w, own, part)
        for w, own in zip(wanted, found, strict=True)
        if len(w.rows)
        for part in by_length(inputs.cached, w, config.mention_rows)
    ]
    at_once = max(1, MENTIONS_AT_ONCE // config.mention_rows)
    pairs = sum(len(w.rows) for w in wanted) * len(views)
    screens = config.screen and len(views) > PLAIN * k
    with progress(pairs, "pairs", "best scores") as bar:
        for lo in range(0, len(parts), at_once):
            blocks = [
                (own, part, _Block.of(model, inputs, w, part, k, screens))
                for w, own, part in parts[lo : lo + at_once]
            ]
            for start, side in entity_blocks(model, inputs.cached, views, config.entity_rows):
                stop = min(start + config.entity_rows, len(views))
                screened = model.screened if screens and start >= PLAIN * k else None
                bounds = None if screened is None else entity_bounds(screened, side)
                for _, part, block in blocks:
                    block.take(model, side, bounds, start)
                    bar.update(len(part) * (stop - start))
            for own, part, block in blocks:
                block.put(own, part, views)
    return found


class _Block:
    """A few mentions of similar length, with the best views so far: scores and views (m, k)."""

    def __init__(self, side: Any, screen: Screen | None, none_yet: Tensor) -> None:
        self.side, self.screen, self.scores = side, screen, none_yet
        self.views = torch.full_like(self.scores, -1, dtype=torch.int64)

    @classmethod
    def of(
        cls, model: Heads[Any, Any], inputs: MentionInputs, wanted: Wanted, part: np.ndarray,
        k: int, screen: bool,
    ) -> _Block:  # fmt: skip
        side, _ = model.mentions(inputs.batch(wanted.split, wanted.rows[part]))
        none_yet = torch.full((len(part), k), -torch.inf, device=inputs.cached.device)
        own = model.screened if screen else None
        return cls(side, None if own is None else Screen(own, side, none_yet[:, -1]), none_yet)

    def take(self, model: Heads[Any, Any], entities: Any, bounds: Any, start: int) -> None:
        """Meet the views from `start` on; without `bounds`, all of them get their attention."""
        if self.screen is None or bounds is None:
            total = model.matcher.pairs(self.side, entities).total
        else:
            least = self.scores[:, -1:]
            self.screen.least = least - MARGIN * (1 + least.abs())
            none = torch.zeros(1, 1, dtype=torch.bool, device=least.device)
            total = self.screen.scores(entities, bounds, none)
        if not torch.isfinite(total).all():
            raise MelovError(
                "a score is not finite: the heads have diverged", "lower train.learning_rate"
            )
        if not (total > self.scores[:, -1:]).any():
            return
        at = torch.arange(start, start + total.shape[1], device=total.device).expand_as(total)
        scores, views = torch.cat([self.scores, total], 1), torch.cat([self.views, at], 1)
        self.scores, order = scores.topk(self.scores.shape[1], dim=1)
        self.views = views.gather(1, order)

    def put(self, found: BestScores, place: np.ndarray, views: Views) -> None:
        """Write the rows `place` of `found`; a view counts as often as it has entities."""
        scores, own = self.scores.double().cpu().numpy(), self.views.cpu().numpy()
        k = scores.shape[1]
        for at, s, v in zip(place, scores, own, strict=True):
            v = v[v >= 0]
            members = [views.members(view)[:k] for view in v]
            entities, s = np.concatenate(members), np.repeat(s[: len(v)], list(map(len, members)))
            order = np.lexsort((entities, -s))[:k]
            found.scores[at, : len(order)], found.entities[at, : len(order)] = (
                s[order], entities[order],
            )  # fmt: skip


def _empty(mentions: int, k: int) -> BestScores:
    return BestScores(np.full((mentions, k), -np.inf), np.full((mentions, k), -1, np.int64))
