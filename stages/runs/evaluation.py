"""Exact ranks of validation and test, and metrics by part of the mentions."""

from typing import Any

import numpy as np

from cache.files import atomic_path
from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.ranking.metrics import metrics, metrics_by_part
from stages.ranking.rank import Wanted, rank_all
from stages.runs.folder import RunFolder, write_json


def evaluate(
    model: Heads[Any, Any], data: LinkingData, records: Records, config: EvaluateConfig
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metrics by part (`metrics.json` but for data set, variant and seed), and ranks by split."""
    splits = ("valid", "test")
    wanted = [Wanted(split, np.arange(len(data.gold[split])), data.gold[split]) for split in splits]
    ranked = rank_all(model, data.inputs, data.views, wanted, config)
    ranks = dict(zip(splits, ranked, strict=True))
    n = records.entities.num_rows
    seen = np.isin(data.gold["test"], data.gold["train"])
    kinds = records.mentions["test"]["image_kind"].to_pylist()
    found = metrics_by_part(ranks["test"], n, seen, kinds)
    return {"test": found.pop("test"), "valid": metrics(ranks["valid"], n), **found}, ranks


def write_evaluation(
    folder: RunFolder, content: dict[str, Any], ranks: dict[str, np.ndarray]
) -> None:
    """`ranks.npz`, then `metrics.json`, whose presence says that a run is whole."""
    with atomic_path(folder.ranks) as path, path.open("wb") as file:
        np.savez(file, valid=ranks["valid"].astype("f4"), test=ranks["test"].astype("f4"))
    write_json(folder.metrics, content)
