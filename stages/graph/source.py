"""What the graph reads of a feature store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cache.reader import FeatureStore
from stages.features.stored import rows_of, whole
from stages.paths import SPLITS


@dataclass(frozen=True)
class GraphSource:
    """Global text features and pictures of all mentions.

    features: split -> t_M^G, float32 (n_split, d_t).
    pictures: split -> int32 (n_split,), rows of the store's pictures, -1 for none.
    """

    features: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]

    @classmethod
    def of(cls, store: FeatureStore) -> GraphSource:
        """Gathered from an open store; raises StoreError as `rows_of` does."""
        features, pictures = {}, {}
        for split in SPLITS:
            rows = rows_of(store, f"mentions/{split}/text", "texts/global")
            features[split] = store["texts/global"].gather(rows).astype(np.float32)
            pictures[split] = whole(store, f"mentions/{split}/image")
        return cls(features, pictures)
