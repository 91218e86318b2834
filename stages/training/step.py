"""One step of training: a batch gathered from the store, and what the optimizer does with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError
from stages.config import TrainConfig
from stages.device import heads_precision
from stages.features.batches import MentionInputs
from stages.features.features import Features, MentionInput
from stages.heads.heads import Heads
from stages.heads.losses import contrastive_loss
from stages.heads.precision import products_in


@dataclass(frozen=True)
class Batch:
    """Training mentions, and the entities that they are told apart from.

    target: int64 (mentions,), the column of each mention's gold entity.
    """

    mentions: MentionInput
    entities: Features
    target: Tensor


def load_batch(
    inputs: MentionInputs, rows: np.ndarray, gold: np.ndarray, hard: np.ndarray | None = None
) -> Batch:
    """Gather a batch out of the store.

    Args:
        rows: (n,) distinct training mentions.
        gold: (n,) their entities, rows of the knowledge base; equal ones share a column.
        hard: (n, k) wrong entities that join the columns.
    """
    columns = np.unique(gold if hard is None else np.concatenate([gold, hard.ravel()]))
    target = torch.from_numpy(np.searchsorted(columns, gold))
    cached = inputs.cached
    return Batch(inputs.batch("train", rows), cached.entities(columns), target.to(cached.device))


def train_step(
    model: Heads[Any, Any], optimizer: torch.optim.Optimizer, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """Forward, backward, update; returns the losses `loss`, `loss_e`, `loss_g` of before it.

    They are scalars on the device, for which nothing here waits: `Losses` reads them.
    """
    with products_in(heads_precision(config.precision, batch.target.device)):
        side, optimized = model.mentions(batch.mentions)
        scores = model.matcher.pairs(side, model.entities(batch.entities))
    loss_e = contrastive_loss(scores, batch.target, config.label_smoothing)
    loss = loss_e + config.lambda_g * optimized.loss_g  # eq. 8
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    parts = {"loss": loss, "loss_e": loss_e, "loss_g": optimized.loss_g}
    return {name: value.detach() for name, value in parts.items()}


class Losses:
    """An epoch's losses, weighted sums in float64 on the device, which is asked for them once in
    `CHECKED` steps.

    Args:
        where: what an error says.
    """

    CHECKED = 16

    def __init__(self, where: str) -> None:
        self.where, self.steps = where, 0
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor], share: float) -> None:
        """Raises MelovError where a loss was not finite, now or in one of the last steps."""
        for name, value in losses.items():
            own = value.double() * share
            self._sums[name] = self._sums[name] + own if name in self._sums else own
        self.steps += 1
        if self.steps % self.CHECKED == 0:
            self._require_finite()

    def read(self) -> dict[str, float]:
        """Raises MelovError where a loss was not finite."""
        self._require_finite()
        return {name: float(value) for name, value in self._sums.items()}

    def _require_finite(self) -> None:
        # What is not finite stays so in a sum.
        if self._sums and not torch.isfinite(self._sums["loss"]):
            raise MelovError(f"the loss is not finite in {self.where}", "lower train.learning_rate")
