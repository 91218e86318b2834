"""What the graph reads of a feature store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cache.reader import FeatureStore
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
        """Gathered from an open store."""
        features, pictures = {}, {}
        for split in SPLITS:
            text, image = store[f"mentions/{split}/text"], store[f"mentions/{split}/image"]
            rows = text.slice(0, len(text))
            features[split] = store["texts/global"].gather(rows).astype(np.float32)
            pictures[split] = image.slice(0, len(image))
        return cls(features, pictures)
