"""What the graph reads of a data set's stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from cache.errors import MelovError
from cache.reader import FeatureStore
from stages.config import GraphConfig
from stages.features.stored import rows_of, whole
from stages.further import FIRST
from stages.paths import SPLITS


@dataclass(frozen=True)
class GraphSource:
    """What all mentions are compared by, and their pictures.

    features: split -> float32 (n_split, d): t_M^G of the first encoder alone, else `compared`.
    pictures: split -> int32 (n_split,), rows of the store's pictures, -1 for none.
    """

    features: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, store: FeatureStore, config: GraphConfig | None = None,
        further: Mapping[str, FeatureStore] = MappingProxyType({}),
    ) -> GraphSource:  # fmt: skip
        """Gathered from open stores.

        Args:
            config: names the encoders; None is the first one alone.
            further: stores of those of them that are further ones.

        Raises:
            StoreError: as `rows_of` does.
            MelovError: an encoder reads pictures.
        """
        encoders = (config or GraphConfig()).encoders
        stores = {FIRST: store, **further}
        features, pictures = {}, {}
        for split in SPLITS:
            group = f"mentions/{split}"
            features[split] = compared([global_texts(stores[name], group) for name in encoders])
            pictures[split] = whole(store, f"{group}/image")
        return cls(features, pictures)


def global_texts(store: FeatureStore, group: str) -> np.ndarray:
    """An encoder's global texts of a group of records, float16 (n, d).

    Raises:
        MelovError: it is a further encoder of pictures.
    """
    if "texts/global" not in store:
        raise MelovError(
            f"{store.path}: holds pictures, and the graph compares texts",
            "name further encoders of texts in graph.encoders",
        )
    return store["texts/global"].gather(rows_of(store, f"{group}/text", "texts/global"))


def compared(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Global texts (n, d_k) of K encoders -> what mentions are compared by, float32 (n, Σ d_k).

    One encoder's as they are. Of several, directions of length 1 / √K side by side: a squared
    distance is then the mean of K squared distances between directions, and a product the mean of
    K cosines, whatever the lengths and widths of the encoders. Not in the paper.
    """
    wide = [part.astype(np.float32) for part in parts]
    if len(wide) == 1:
        return wide[0]
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in wide]
    units = [part / np.where(own > 0, own, 1) for part, own in zip(wide, lengths, strict=True)]
    found: np.ndarray = np.concatenate(units, axis=1) / np.float32(len(units) ** 0.5)
    return found
