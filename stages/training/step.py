"""One step of training: a batch gathered from the store, and what the optimizer does with it."""

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
    model: Heads[Any, Any],
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: TrainConfig,
    where: str = "training",
) -> dict[str, float]:
    """Forward, backward, update; returns the losses `loss`, `loss_e`, `loss_g` of before it.

    Raises:
        MelovError: the loss is not finite.
    """
    with products_in(heads_precision(config.precision, batch.target.device)):
        side, optimized = model.mentions(batch.mentions)
        scores = model.matcher.pairs(side, model.entities(batch.entities))
    loss_e = contrastive_loss(scores, batch.target, config.label_smoothing)
    loss = loss_e + config.lambda_g * optimized.loss_g  # eq. 8
    if not torch.isfinite(loss):
        raise MelovError(f"the loss is not finite in {where}", "lower train.learning_rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    parts = {"loss": loss, "loss_e": loss_e, "loss_g": optimized.loss_g}
    return {name: float(value.detach()) for name, value in parts.items()}
