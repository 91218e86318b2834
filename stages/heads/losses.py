"""The contrastive loss over a batch (eq. 7)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.heads.matcher import Scores


def contrastive_loss(scores: Scores, gold: Tensor) -> Tensor:
    """L_E = Σ over S and each unit of the cross-entropy of row i against column i (eq. 7).

    Column i holds the gold entity of mention i. Where two mentions of a batch share an entity,
    neither column is a negative of the other.

    Shapes
    ------
    scores: (B, B), gold: (B,) rows of the knowledge base -> scalar
    """
    same = gold[:, None] == gold[None, :]
    same.fill_diagonal_(False)
    target = torch.arange(len(gold), device=gold.device)
    parts = [scores.total]
    if len(scores.units) > 1:  # with one unit S is S_X, and would only count twice
        parts += list(scores.units.values())
    loss = scores.total.new_zeros(())
    for part in parts:
        loss = loss + F.cross_entropy(part.masked_fill(same, -math.inf), target)
    return loss
