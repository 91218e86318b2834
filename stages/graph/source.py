"""What the graph reads of the feature store, and from which records the store was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.datasets.store import open_store, provenance_of
from stages.paths import SPLITS, DatasetPaths


@dataclass(frozen=True)
class GraphSource:
    """Global text features and pictures of all mentions.

    features: split -> t_M^G, float32 (n_split, d_t).
    pictures: split -> int32 (n_split,), rows of the store's pictures, -1 for none.
    provenance: digests of the store and of the records, for `Graph.save` and `load_graph`.
    """

    features: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]
    provenance: dict[str, str]


def read_source(paths: DatasetPaths) -> GraphSource:
    """Open the data set's store and gather what a graph needs.

    Raises
    ------
    MelovError: see `open_store`.
    """
    store = open_store(paths)
    features, pictures = {}, {}
    for split in SPLITS:
        text, image = store[f"mentions/{split}/text"], store[f"mentions/{split}/image"]
        rows = text.slice(0, len(text))
        features[split] = store["texts/global"].gather(rows).astype(np.float32)
        pictures[split] = image.slice(0, len(image))
    return GraphSource(features, pictures, provenance_of(store))
