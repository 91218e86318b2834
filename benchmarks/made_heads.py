"""Heads that rank the made data set as trained ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.made import made_dataset
from stages.config import EvaluateConfig, TrainConfig
from stages.features.data import LinkingData
from stages.features.views import Views
from stages.heads.model import Melov
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset, RunSpec
from stages.training.step import load_batch, train_step

STEPS_QUICK, STEPS_FULL = 120, 280
"""Of training before anything is ranked: the share of pairs that bounds settle is a trained
model's. The full size's steps are two epochs."""


@dataclass(frozen=True)
class Trained:
    """A model, and what it ranks."""

    model: Melov
    data: LinkingData

    def rank(self, mentions: int, views: Views, screen: bool = True) -> np.ndarray:
        """Ranks of the first so many test mentions."""
        rows, config = np.arange(mentions), EvaluateConfig(screen=screen)
        gold = self.data.gold["test"][rows] % len(views.of_entity)
        return rank_gold(self.model, self.data.inputs, views, "test", rows, gold, config)


def trained_heads(full: bool) -> Trained:
    """melov with the default settings, trained for some steps on the made data set."""
    config = TrainConfig(preset="paper")
    dataset = Dataset.open(made_dataset(full))
    heads = dataset.heads(RunSpec.of("melov", 0, config))
    data = dataset.data(heads, config, torch.device("cpu"))
    torch.manual_seed(0)
    model = Melov(heads).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    gold = data.gold["train"]
    rng = np.random.default_rng(0)
    size = config.batch_size
    steps = STEPS_FULL if full else STEPS_QUICK
    batches = (rng.choice(len(gold), size, replace=False) for _ in range(steps))
    for batch in (load_batch(data.inputs, rows, gold[rows]) for rows in batches):
        train_step(model, optimizer, batch, config)
    return Trained(model.eval(), data)


def around(entities: int, n: int) -> Views:
    """A knowledge base of n rows that go round the stored entities."""
    return Views(np.arange(n) % entities, np.ones(n, dtype=np.int64), np.arange(n))
