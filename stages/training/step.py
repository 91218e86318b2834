"""One step of training: a batch gathered from the store, and what the optimizer does with it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
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
from stages.heads.noise import share_of
from stages.heads.precision import products_in
from stages.training.group import ALONE, Group


@dataclass(frozen=True)
class Batch:
    """Training mentions, and the entities that they are told apart from.

    target: int64 (mentions,), the column of each mention's gold entity.
    whole: mentions of the batch, of which these are those of one process; own: which.
    """

    mentions: MentionInput
    entities: Features
    target: Tensor
    whole: int
    own: slice


def load_batch(
    inputs: MentionInputs, rows: np.ndarray, gold: np.ndarray, hard: np.ndarray | None = None,
    group: Group = ALONE,
) -> Batch:  # fmt: skip
    """Gather a batch out of the store: this process's mentions, and the entities of all.

    Args:
        rows: (n,) distinct training mentions of all processes, at least one a process.
        gold: (n,) their entities, rows of the knowledge base; equal ones share a column.
        hard: (n, k) wrong entities that join the columns.
    """
    columns = np.unique(gold if hard is None else np.concatenate([gold, hard.ravel()]))
    own = group.share(len(rows))
    target = torch.from_numpy(np.searchsorted(columns, gold[own])).to(inputs.cached.device)
    mentions, entities = inputs.batch("train", rows[own]), inputs.cached.entities(columns)
    return Batch(mentions, entities, target, len(rows), own)


def train_step(
    model: Heads[Any, Any], optimizer: torch.optim.Optimizer, batch: Batch, config: TrainConfig,
    group: Group = ALONE,
) -> dict[str, Tensor]:  # fmt: skip
    """Forward, backward, update; returns the losses `loss`, `loss_e`, `loss_g` of before it, of all
    processes' mentions together.

    They are scalars on the device, for which nothing here waits: `Losses` reads them.
    """
    precision = heads_precision(config.precision, batch.target.device)
    with products_in(precision), _noise_of(batch, group):
        side, optimized = model.mentions(batch.mentions)
        scores = model.matcher.pairs(side, model.entities(batch.entities))
    loss_e = contrastive_loss(scores, batch.target, config.label_smoothing)
    loss_g = optimized.loss_g
    if group.size > 1:
        # Means over this process's mentions, and over those with a picture: what they are of the
        # batch's means, so that the processes' add up to these.
        with_picture = batch.mentions.features.has_image.sum()
        loss_e = loss_e * (len(batch.target) / batch.whole)
        loss_g = loss_g * (with_picture / group.summed(with_picture).clamp_min(1))
    loss = loss_e + config.lambda_g * loss_g  # eq. 8
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    group.sum_gradients(model.parameters())
    optimizer.step()
    parts = {"loss": loss, "loss_e": loss_e, "loss_g": loss_g}
    return {name: group.summed(value) for name, value in parts.items()}


def _noise_of(batch: Batch, group: Group) -> AbstractContextManager[None]:
    return nullcontext() if group.size == 1 else share_of(batch.whole, batch.own)


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
