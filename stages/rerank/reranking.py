"""A run's re-ranking, as ranking, linking and the report apply it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.ranking.best import BestScores
from stages.ranking.calibration import CANDIDATES
from stages.ranking.top import NOT_FINITE, Candidate
from stages.rerank.lists import Lists
from stages.rerank.reranker import Reranker

RERANK = "rerank"
"""What stands among a candidate's units for what re-ranking adds to their mean."""

Said = Iterable[tuple[str, str]]
"""Each mention's words and sentence."""
Names = Sequence[Sequence[str]]
"""Of every entity by its row: its own name, then its aliases."""


@dataclass(frozen=True)
class Reranking:
    """Args:
    terms: names of those that the re-ranker reads.
    """

    reranker: Reranker
    terms: tuple[str, ...]

    @torch.inference_mode()
    def best(self, best: BestScores, said: Said, names: Names) -> BestScores:
        """The same entities in their new order, with S' for S.

        Raises:
            MelovError: the scores are made of other terms, or a new one is not finite.
        """
        self._require(best.names)
        lists = Lists.of(best, said, names)
        new = self.reranker(lists)
        if not torch.isfinite(new[lists.there]).all():
            raise MelovError("a score is not finite", NOT_FINITE)
        scores = new.double().numpy()
        order = np.lexsort((best.entities, -scores))
        return BestScores(
            np.take_along_axis(scores, order, 1),
            np.take_along_axis(best.entities, order, 1),
            np.take_along_axis(best.terms, order[..., None], 1),
            best.names,
        )

    def candidates(
        self, found: Sequence[Sequence[Candidate]], said: Said, names: Names
    ) -> list[list[Candidate]]:
        """The first CANDIDATES of each mention in their new order, the others behind them: a score
        there is no higher than the lowest before it. What was added is the unit RERANK.

        Raises:
            MelovError: as `best` does.
        """
        if not found:
            return []
        k = min(CANDIDATES, max(map(len, found)))
        scores = np.full((len(found), k), -np.inf)
        entities = np.full((len(found), k), -1, np.int64)
        terms = np.zeros((len(found), k, len(self.terms)), np.float32)
        for i, own in enumerate(found):
            for j, candidate in enumerate(own[:k]):
                self._require(tuple(candidate.terms))
                scores[i, j], entities[i, j] = candidate.score, candidate.entity
                terms[i, j] = list(candidate.terms.values())
        new = self.best(BestScores(scores, entities, terms, self.terms), said, names)
        return [_reordered(own, new.entities[i], new.scores[i]) for i, own in enumerate(found)]

    def ranks(self, best: BestScores, gold: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Ranks of the gold entities, float64 (m,): in the new order of the best entities, and as
        `before` where it is none of them.

        Args:
            best: in their new order; gold: rows of the knowledge base, (m,).
        """
        ranks = before.astype(np.float64)
        own = best.entities == gold[:, None]
        for i in np.flatnonzero(own.any(1)):
            score = best.scores[i][own[i]][0]
            equal = (best.scores[i] == score).sum() - 1
            ranks[i] = 1 + (best.scores[i] > score).sum() + equal / 2
        return ranks

    def state(self) -> dict[str, Tensor]:
        return self.reranker.state_dict()

    @classmethod
    def of_state(cls, terms: tuple[str, ...], state: dict[str, Tensor]) -> Reranking:
        """Raises RuntimeError where the weights do not fit."""
        reranker = Reranker(len(terms))
        reranker.load_state_dict(state)
        return cls(reranker.eval(), terms)

    def _require(self, names: tuple[str, ...]) -> None:
        if names != self.terms:
            raise MelovError(
                f"the re-ranking reads the terms {', '.join(self.terms)}, and the scores have "
                f"{', '.join(names)}",
                "train the run again",
            )


def _reordered(
    own: Sequence[Candidate], entities: np.ndarray, scores: np.ndarray
) -> list[Candidate]:
    by_row = {candidate.entity: candidate for candidate in own}
    first = [
        replace(c, score=float(s), units={**c.units, RERANK: float(s) - c.score})
        for c, s in ((by_row[int(e)], s) for e, s in zip(entities, scores, strict=True) if e >= 0)
    ]
    lowest = first[-1].score
    behind = [
        replace(c, score=score, units={**c.units, RERANK: score - c.score})
        for c, score in ((c, min(c.score, lowest)) for c in own[len(first) :])
    ]
    return [*first, *behind]
