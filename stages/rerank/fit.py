"""Fits a re-ranking to lists of training mentions: listwise, the best epoch by validation's MRR.

Epoch 0, the order as it was, is one of them, so that no re-ranking ends below its start.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cache.errors import MelovError
from stages.rerank.lists import Lists
from stages.rerank.reranker import Reranker

EPOCHS, MOST_EPOCHS, STEPS, BATCH = 12, 50, 400, 128
"""At least so many epochs, and more where they are less than so many steps of so many mentions."""
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
LEAST_TRAIN, LEAST_VALID = 100, 50
"""Mentions whose gold entity is in their list. Of fewer there is little to learn, and the choice of
an epoch is chance: nothing is re-ranked."""


@dataclass(frozen=True)
class Examples:
    """Lists with the place of each mention's gold entity among its candidates, -1 where it is not,
    int64 (m,)."""

    lists: Lists
    gold: Tensor


@dataclass(frozen=True)
class Fitted:
    """mrr: of validation's mentions whose gold entity is in their list, by epoch from 0."""

    reranker: Reranker
    mrr: list[float]

    @property
    def best_epoch(self) -> int:
        return int(np.argmax(self.mrr))


def fit(train: Examples, valid: Examples, seed: int) -> Fitted:
    """Deterministic on one machine: the same lists and seed give the same weights.

    Raises:
        MelovError: a loss that is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(train, valid)


def _fit(train: Examples, valid: Examples) -> Fitted:
    reranker = Reranker(train.lists.terms.shape[2])
    kept = (train.gold >= 0).nonzero()[:, 0]
    mrr, best = [mean_reciprocal_rank(reranker, valid)], copy.deepcopy(reranker)
    if len(kept) < LEAST_TRAIN or int((valid.gold >= 0).sum()) < LEAST_VALID:
        return Fitted(best.eval(), mrr)
    lists, gold = train.lists.take(kept), train.gold[kept]
    reranker.standardise(lists)
    optimizer = torch.optim.AdamW(
        reranker.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    steps = -(-len(gold) // BATCH)
    epochs = min(MOST_EPOCHS, max(EPOCHS, -(-STEPS // steps)))
    for epoch in range(epochs):
        reranker.train()
        for i, rows in enumerate(torch.randperm(len(gold)).split(BATCH)):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 - (epoch + i / steps) / epochs)
            part = lists.take(rows)
            scores = part.scores + reranker.changes(part)  # each member learns by itself
            loss = F.cross_entropy(scores.flatten(0, 1), gold[rows].repeat(len(scores)))
            if not torch.isfinite(loss):
                raise MelovError("the loss of the re-ranking is not finite", "--set train.rerank=0")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        mrr.append(mean_reciprocal_rank(reranker, valid))
        if mrr[-1] > max(mrr[:-1]):
            best = copy.deepcopy(reranker)
    return Fitted(best.eval(), mrr)


@torch.inference_mode()
def mean_reciprocal_rank(reranker: Reranker, examples: Examples) -> float:
    """Of the mentions whose gold entity is in their list; 0 where there is none."""
    kept = (examples.gold >= 0).nonzero()[:, 0]
    if not len(kept):
        return 0.0
    reranker.eval()
    ranks = places(reranker(examples.lists.take(kept)), examples.gold[kept])
    return float((1 / ranks).mean())


def places(scores: Tensor, gold: Tensor) -> Tensor:
    """Rank of each list's gold candidate: 1 + those scored higher + half of those equal, float64.

    Shapes:
        scores: (m, k); gold: int64 (m,), a place -> (m,)
    """
    own = scores.gather(1, gold[:, None])
    equal = (scores == own).sum(1).double() - 1
    return 1 + (scores > own).sum(1).double() + equal / 2
