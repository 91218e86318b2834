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
from stages.share import WHOLE, Share

PLAIN = 64
"""As often as k views are met without bounds: the k-th best of fewer spares so few of the others
that looking for them costs more than it spares."""


@dataclass(frozen=True)
class BestScores:
    """Of m mentions, float64.

    Args:
        scores: the k best of the knowledge base, best first; -inf past its end. Shape: (m, k).
        entities: their rows, the lowest first among equals; -1 past the end. Shape: (m, k).
        terms: what the scores are made of, 0 past the end, float32, shape: (m, k, terms); to some
            1e-5, since one of them is what the others leave of the sum.
        names: of the terms.
    """

    scores: np.ndarray
    entities: np.ndarray
    terms: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def entity(self) -> np.ndarray:
        """The row of the best one, the lowest among equals, shape: (m,)."""
        return self.entities[:, 0]

    def first(self, mentions: int) -> BestScores:
        """The first so many of them."""
        scores, entities, terms = (x[:mentions] for x in (self.scores, self.entities, self.terms))
        return BestScores(scores, entities, terms, self.names)

    @classmethod
    def joined(cls, first: BestScores, second: BestScores) -> BestScores:
        """The mentions of both."""
        pairs = zip(*((of.scores, of.entities, of.terms) for of in (first, second)), strict=True)
        scores, entities, terms = map(np.concatenate, pairs)
        return cls(scores, entities, terms, first.names)


@torch.inference_mode()
def best_scores(
    model: Heads[Any, Any], inputs: MentionInputs, views: Views, wanted: Sequence[Wanted], k: int,
    config: EvaluateConfig, share: Share = WHOLE,
) -> list[BestScores]:  # fmt: skip
    """The `k` best scores of each mention, for each of `wanted`, in the order of its rows.

    Args:
        wanted: their `gold` is not read.
        share: of the mentions; of the others there is nothing (`together` puts shares together).
            Not of the entities: what is met first spares others their attention, and so decides
            by which product a score comes about, to its last bits.

    Raises:
        MelovError: a score is not finite.
    """
    model.eval()
    found = [_Found(len(w.rows), k) for w in wanted]
    parts = [
        (w, own, part)
        for w, own in zip(wanted, found, strict=True)
        if len(w.rows)
        for part in by_length(inputs.cached, w, config.mention_rows)
    ]
    parts = parts[share.of_n(len(parts))]
    at_once = max(1, MENTIONS_AT_ONCE // config.mention_rows)
    pairs = sum(len(part) for *_, part in parts) * len(views)
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
    names = next((of.names for of in found if of.names), ())
    return [of.whole(names) for of in found]


def together(shares: Sequence[BestScores]) -> BestScores:
    """All mentions, each of which one of the shares has."""
    entities = np.stack([share.entities for share in shares])
    of = (entities[..., 0] >= 0).argmax(0), np.arange(entities.shape[1])
    names = max((share.names for share in shares), key=len)
    k = entities.shape[2]
    terms = [share.terms if share.names else np.zeros((entities.shape[1], k, len(names)), "f4")
             for share in shares]  # fmt: skip
    scores = np.stack([share.scores for share in shares])
    return BestScores(scores[of], entities[of], np.stack(terms)[of], names)


class _Found:
    """What is put together of a split's mentions, block by block."""

    def __init__(self, mentions: int, k: int) -> None:
        self.scores = np.full((mentions, k), -np.inf)
        self.entities = np.full((mentions, k), -1, np.int64)
        self.names: tuple[str, ...] = ()
        self._terms: np.ndarray | None = None

    def terms(self, names: tuple[str, ...]) -> np.ndarray:
        """(m, k, terms), to be written to."""
        if self._terms is None:
            self.names = names
            self._terms = np.zeros((*self.scores.shape, len(names)), np.float32)
        return self._terms

    def whole(self, names: tuple[str, ...]) -> BestScores:
        return BestScores(self.scores, self.entities, self.terms(names), names)


class _Block:
    """A few mentions of similar length, with the best views so far: scores and views (m, k), and
    the scores' terms (terms, m, k)."""

    def __init__(self, side: Any, screen: Screen | None, none_yet: Tensor) -> None:
        self.side, self.screen, self.scores = side, screen, none_yet
        self.views = torch.full_like(self.scores, -1, dtype=torch.int64)
        self.names: tuple[str, ...] = ()
        self.terms = none_yet[None][:0]

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
            found = model.matcher.pairs(self.side, entities)
            total, terms = found.total, found.terms or found.units
        else:
            least = self.scores[:, -1:]
            self.screen.least = least - MARGIN * (1 + least.abs())
            none = torch.zeros(1, 1, dtype=torch.bool, device=least.device)
            total, terms = self.screen.terms(entities, bounds, none)
        if not torch.isfinite(total).all():
            raise MelovError(
                "a score is not finite: the heads have diverged", "lower train.learning_rate"
            )
        if not self.names:
            self.names = tuple(terms)
            self.terms = self.scores.new_zeros(len(terms), *self.scores.shape)
        if not (total > self.scores[:, -1:]).any():
            return
        at = torch.arange(start, start + total.shape[1], device=total.device).expand_as(total)
        scores, views = torch.cat([self.scores, total], 1), torch.cat([self.views, at], 1)
        self.scores, order = scores.topk(self.scores.shape[1], dim=1)
        self.views = views.gather(1, order)
        both = torch.cat([self.terms, torch.stack([terms[name] for name in self.names])], 2)
        self.terms = both.gather(2, order.expand(len(both), -1, -1))

    def put(self, found: _Found, place: np.ndarray, views: Views) -> None:
        """Write the rows `place` of `found`; a view counts as often as it has entities."""
        scores, own = self.scores.double().cpu().numpy(), self.views.cpu().numpy()
        terms, into = self.terms.permute(1, 2, 0).cpu().numpy(), found.terms(self.names)
        k = scores.shape[1]
        for at, s, v, t in zip(place, scores, own, terms, strict=True):
            v = v[v >= 0]
            members = [views.members(view)[:k] for view in v]
            counts = list(map(len, members))
            entities, s = np.concatenate(members), np.repeat(s[: len(v)], counts)
            order = np.lexsort((entities, -s))[:k]
            found.scores[at, : len(order)] = s[order]
            found.entities[at, : len(order)] = entities[order]
            into[at, : len(order)] = np.repeat(t[: len(v)], counts, axis=0)[order]
