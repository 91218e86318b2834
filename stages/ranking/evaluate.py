"""Evaluation of a trained run: exact ranks of validation and test, and metrics by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cache.files import atomic_path
from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.features.inputs import MentionInputs
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.ranking.metrics import metrics, metrics_by_part
from stages.ranking.rank import Wanted, rank_all


def evaluate(
    model: Heads, inputs: MentionInputs, views: Views, records: Records, config: EvaluateConfig
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metrics by part (`metrics.json` but for dataset, variant and seed), and ranks by split."""
    splits = ("valid", "test")
    wanted = [
        Wanted(split, np.arange(records.mentions[split].num_rows), records.gold(split))
        for split in splits
    ]
    ranks = dict(zip(splits, rank_all(model, inputs, views, wanted, config), strict=True))
    n = records.entities.num_rows
    seen = np.isin(records.gold("test"), records.gold("train"))
    kinds = records.mentions["test"]["image_kind"].to_pylist()
    found = metrics_by_part(ranks["test"], n, seen, kinds)
    return {"test": found.pop("test"), "valid": metrics(ranks["valid"], n), **found}, ranks


def write_evaluation(
    folder: Path,
    about: dict[str, Any],
    found: dict[str, Any],
    ranks: dict[str, np.ndarray],
) -> None:
    """`metrics.json` and `ranks.npz` of a run."""
    with atomic_path(folder / "ranks.npz") as path, path.open("wb") as file:
        np.savez(file, **{split: values.astype(np.float32) for split, values in ranks.items()})
    write_metrics(folder, {**about, **found})


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """`metrics.json`, which comes last: its presence says that a run is whole."""
    with atomic_path(folder / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=1) + "\n")
