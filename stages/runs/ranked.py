"""What an evaluation ranks, by one process or put together of several processes' shares.

Of the ranks a process takes a share of the knowledge base, and of the best entities, which
probabilities need, a share of the mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.paths import NIL
from stages.ranking.best import BestScores, best_scores, together
from stages.ranking.calibration import CANDIDATES
from stages.ranking.rank import Wanted, count_better, ranks
from stages.runs.folder import RANKED
from stages.share import WHOLE, Share


@dataclass(frozen=True)
class Ranked:
    """Args:
    ranks: of the gold entities, by split.
    best: by split, its mentions' best entities, those without an entity last, and their gold
        rows, -1 without.
    """

    ranks: dict[str, np.ndarray]
    best: dict[str, tuple[BestScores, np.ndarray]]


def gold_wanted(data: LinkingData) -> list[Wanted]:
    """The mentions of the splits that are ranked."""
    return [Wanted(split, np.arange(len(data.gold[split])), data.gold[split]) for split in RANKED]


def best_wanted(data: LinkingData, records: Records) -> list[Wanted]:
    """The same, and after them those without an entity, by split."""
    found = gold_wanted(data)
    for split in RANKED:
        rows = records.nil_rows(split)
        found.append(Wanted(NIL, rows, np.full(len(rows), -1)))
    return found


def rank_alone(
    model: Heads[Any, Any], data: LinkingData, records: Records, config: EvaluateConfig
) -> Ranked:
    """By this process; raises MelovError where a score is not finite."""
    return put_together([rank_share(model, data, records, config, WHOLE)], data, records)


Found = tuple[np.ndarray, list[BestScores]]
"""`count_better` of the gold entities, and `best_scores`."""


def rank_share(
    model: Heads[Any, Any], data: LinkingData, records: Records, config: EvaluateConfig,
    share: Share,
) -> Found:  # fmt: skip
    """What one of several processes ranks."""
    better = count_better(model, data.inputs, data.views, gold_wanted(data), config, share)
    wanted = best_wanted(data, records)
    return better, best_scores(model, data.inputs, data.views, wanted, CANDIDATES, config, share)


def put_together(shares: Sequence[Found], data: LinkingData, records: Records) -> Ranked:
    """What one process would have found."""
    better, best = zip(*shares, strict=True)
    of_gold = ranks(sum(better), data.views, gold_wanted(data))
    wanted = best_wanted(data, records)
    whole = [together(parts) for parts in zip(*best, strict=True)]
    n = len(RANKED)
    return Ranked(
        dict(zip(RANKED, of_gold, strict=True)),
        {
            split: (
                BestScores.joined(whole[at], whole[at + n]),
                np.concatenate([wanted[at].gold, wanted[at + n].gold]),
            )
            for at, split in enumerate(RANKED)
        },
    )
