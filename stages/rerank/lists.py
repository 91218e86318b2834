"""The best entities of many mentions with all that a re-ranking reads of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.ranking.best import BestScores
from stages.rerank.alignment import COLUMNS, Context, alignments


@dataclass(frozen=True)
class Lists:
    """m mentions and k entities each, best first.

    Args:
        scores: S, -inf where there are fewer entities, float32 (m, k).
        terms: of S, zero there, float32 (m, k, terms).
        names: how the names lie on each other (`alignments`), zero there, float32 (m, k, columns).
    """

    scores: Tensor
    terms: Tensor
    names: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def there(self) -> Tensor:
        """Which are entities, bool (m, k)."""
        return torch.isfinite(self.scores)

    def take(self, rows: Tensor) -> Lists:
        return Lists(self.scores[rows], self.terms[rows], self.names[rows])

    @classmethod
    def of(
        cls, best: BestScores, said: Iterable[tuple[str, str]], names: Sequence[Sequence[str]]
    ) -> Lists:
        """Args:
        said: each mention's words and sentence.
        names: of every entity, its own first.
        """
        aligned = np.zeros((*best.entities.shape, len(COLUMNS)), np.float32)
        for row, entities, (words, sentence) in zip(aligned, best.entities, said, strict=True):
            there = entities[entities >= 0]
            found = alignments(Context.of(words, sentence), [names[e] for e in there])
            row[: len(there)] = found
        return cls(
            torch.from_numpy(best.scores.astype(np.float32)),
            torch.from_numpy(best.terms.astype(np.float32)),
            torch.from_numpy(aligned),
        )
