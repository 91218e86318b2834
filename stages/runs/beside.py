"""Ranks what learns nothing beside a trained run; `stages/runs/yardsticks.py` says why."""

from typing import Any

import torch

from stages.config import EvaluateConfig, TrainConfig
from stages.heads.variants import YARDSTICKS
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.evaluation import evaluate

ROWS = {"mention_rows": 128, "entity_rows": 2048}
"""Least blocks: sparse products of small ones take twice as long. No rank depends on them."""


def rank_yardsticks(
    dataset: Dataset, config: EvaluateConfig, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Metrics by part of each, over the present records; ranked once for an opened data set."""
    records, found = dataset.yardsticks.get(device, (None, {}))
    if records is not dataset.records:
        blocks = {name: max(rows, getattr(config, name)) for name, rows in ROWS.items()}
        config = config.model_copy(update=blocks)
        found = {name: _ranked(name, dataset, config, device) for name in YARDSTICKS}
        dataset.yardsticks[device] = dataset.records, found
    return found


def _ranked(
    name: str, dataset: Dataset, config: EvaluateConfig, device: torch.device
) -> dict[str, Any]:
    spec = RunSpec.of(name, 0, TrainConfig(device=str(device)))
    heads = dataset.heads(spec)
    model = heads.entry.build(heads).to(device)
    return evaluate(model, dataset.data(heads, spec.train, device), dataset.records, config)[0]
