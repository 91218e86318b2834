"""Fits a run's re-ranking to what its heads give."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.ranking.best import BestScores, best_scores
from stages.ranking.calibration import CANDIDATES
from stages.ranking.rank import Wanted
from stages.rerank.fit import Examples, fit
from stages.rerank.lists import Lists
from stages.rerank.reranking import Reranking
from stages.runs.reranking import entity_names, said_of
from stages.training.train import sample

log = logging.getLogger(__name__)

MENTIONS = 4096
"""Of training at most, drawn once for all seeds: ranking them is most of what it costs."""


def fit_reranking(
    model: Heads[Any, Any], data: LinkingData, records: Records, config: EvaluateConfig,
    most: int, seed: int,
) -> Reranking:  # fmt: skip
    """A re-ranking of what `model` ranks.

    Args:
        most: of validation's mentions, which choose its epoch; 0 takes all.
    """
    rows = {"train": sample(len(data.gold["train"]), MENTIONS)}
    rows["valid"] = sample(len(data.gold["valid"]), most)
    wanted = [Wanted(split, at, data.gold[split][at]) for split, at in rows.items()]
    best = best_scores(model, data.inputs, data.views, wanted, CANDIDATES, config)
    names = entity_names(records)
    train, valid = (
        _examples(records, names, of, found) for of, found in zip(wanted, best, strict=True)
    )
    fitted = fit(train, valid, seed)
    log.info(
        "re-ranking: validation MRR of the lists %.4f, %.4f before; epoch %d",
        max(fitted.mrr), fitted.mrr[0], fitted.best_epoch,
    )  # fmt: skip
    return Reranking(fitted.reranker, best[0].names)


def _examples(records: Records, names: list[list[str]], of: Wanted, best: BestScores) -> Examples:
    said = said_of(records, of.split)
    own = best.entities == of.gold[:, None]
    place = np.where(own.any(1), own.argmax(1), -1)
    lists = Lists.of(best, [said[row] for row in of.rows], names)
    return Examples(lists, torch.from_numpy(place))
