"""What the graph reads of the feature store, and from which records the store was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cache.reader import FeatureStore
from stages.datasets.records import read_digest
from stages.graph.distances import GraphError
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
    MelovError: the data set has no records, or no finished store.
    GraphError: the store was made from other records than those that are there.
    """
    records = read_digest(paths.require_records())
    hint = f"python -m pipeline.extract --dataset {paths.dataset}"
    store = FeatureStore.open(paths.store, hint=hint)
    provenance = provenance_of(store, records)
    made_from = store.fingerprint.fields.get("records")
    if made_from != records:
        raise GraphError(
            f"{paths.store}: made from records {made_from}, but {paths.records} holds {records}",
            hint,
        )
    features, pictures = {}, {}
    for split in SPLITS:
        text, image = store[f"mentions/{split}/text"], store[f"mentions/{split}/image"]
        rows = text.slice(0, len(text))
        features[split] = store["texts/global"].gather(rows).astype(np.float32)
        pictures[split] = image.slice(0, len(image))
    return GraphSource(features, pictures, provenance)


def provenance_of(store: FeatureStore, records: str) -> dict[str, str]:
    """What `load_graph` expects of a graph that belongs to this store and these records."""
    return {"store": store.fingerprint.digest, "records": records}
