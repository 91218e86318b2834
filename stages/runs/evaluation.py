"""Exact ranks of validation and test, and metrics by part of the mentions."""

from typing import Any

import numpy as np

from stages.config import EvaluateConfig
from stages.datasets.flags import clean_of
from stages.datasets.records import Records
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.ranking.metrics import metrics, metrics_by_part
from stages.ranking.rank import rank_all
from stages.runs.folder import RANKED
from stages.runs.ranked import gold_wanted


def evaluate(
    model: Heads[Any, Any], data: LinkingData, records: Records, config: EvaluateConfig
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metrics by part (`metrics.json` but for data set, variant and seed), and ranks by split."""
    ranks = ranks_of(model, data, config)
    return metrics_of(ranks, data, records), ranks


def ranks_of(
    model: Heads[Any, Any], data: LinkingData, config: EvaluateConfig
) -> dict[str, np.ndarray]:
    """Of the gold entities, by split."""
    found = rank_all(model, data.inputs, data.views, gold_wanted(data), config)
    return dict(zip(RANKED, found, strict=True))


def metrics_of(ranks: dict[str, np.ndarray], data: LinkingData, records: Records) -> dict[str, Any]:
    """By part of the mentions."""
    n = records.entities.num_rows
    seen = np.isin(data.gold["test"], data.gold["train"])
    test = records.mentions["test"]
    kinds, flags = test["image_kind"].to_pylist(), test["flags"]
    clean = None if flags.null_count else clean_of(flags.to_pylist())
    found = metrics_by_part(ranks["test"], n, seen, kinds, clean)
    return {"test": found.pop("test"), "valid": metrics(ranks["valid"], n), **found}
