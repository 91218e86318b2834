"""What the graph reads of the feature store, and from which records the store was made."""

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


def read_source(store: FeatureStore) -> GraphSource:
    """Gather what a graph needs."""
    features, pictures = {}, {}
    for split in SPLITS:
        text, image = store[f"mentions/{split}/text"], store[f"mentions/{split}/image"]
        rows = text.slice(0, len(text))
        features[split] = store["texts/global"].gather(rows).astype(np.float32)
        pictures[split] = image.slice(0, len(image))
    return GraphSource(features, pictures)
