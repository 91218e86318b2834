"""Exact sides of some entities, from the store."""

from __future__ import annotations

import numpy as np
import torch

from stages.features.cached import CachedFeatures
from stages.features.features import Features
from stages.heads.matcher import UnitSides
from stages.heads.model import Melov
from stages.heads.side import Side


class EntitySides:
    """Exact sides of entities, by their rows of the knowledge base."""

    def __init__(self, model: Melov, cached: CachedFeatures) -> None:
        self.model, self.cached = model, cached
        self.texts = CachedFeatures(cached.store, {"tokens"}, cached.device)

    def whole(self, rows: np.ndarray) -> UnitSides:
        return self.model.entities(self.cached.entities(rows))

    def text(self, rows: np.ndarray, name: str) -> Side:
        """Of the unit `name` alone, which reads no picture."""
        return self.model.entity_unit(name, self.texts.entities(rows))


def arrays_alone(cached: CachedFeatures, rows: np.ndarray) -> Features:
    """Entities with their record arrays and nothing of the encoders."""
    none = torch.zeros(len(rows), 0, device=cached.device)
    return Features(
        text_global=none,
        text_local=none[:, None],
        text_mask=none.bool(),
        has_image=torch.zeros(len(rows), dtype=torch.bool, device=cached.device),
        arrays={name: groups["entities"][rows] for name, groups in cached.arrays.items()},
    )
