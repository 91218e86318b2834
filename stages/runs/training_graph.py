"""Where mentions of a split, or new ones, stand in the graph of a run's training mentions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from cache.reader import FeatureStore
from stages.features.batches import GraphReading, SplitGraph
from stages.features.cached import CachedFeatures, StoredFeatures
from stages.features.neighborhood import limit_neighbors
from stages.features.stored import whole
from stages.further import FIRST
from stages.graph.build import build_rows
from stages.graph.graph import hstack_csr
from stages.graph.source import compared, global_texts
from stages.paths import NIL
from stages.runs.training_mentions import Similarity, TrainingMentions


class TrainingGraph:
    """The training mentions' graph, held open for any number of other mentions.

    A mention gets its row as one of the test split does: by the run's similarity with the training
    set's constants, floor and number of neighbors.

    Args:
        cached: the store with the training mentions' features.
        reading: how the run's GCN reads the graph.
        hint: what helps where the store lacks features of training mentions.

    Raises:
        MelovError: it does.
    """

    def __init__(
        self, mentions: TrainingMentions, similarity: Similarity, cached: StoredFeatures,
        reading: GraphReading, hint: str,
    ) -> None:  # fmt: skip
        self.mentions, self.similarity, self.reading = mentions, similarity, reading
        texts, self.images = mentions.rows(cached.store, hint)
        self.features = self._compared({FIRST: cached.texts(texts), **mentions.further})
        self._known: dict[bytes, int] = {}
        if similarity.config.exclude_same_image and "images/keys" in cached.store:
            keys = whole(cached.store, "images/keys")
            self._known = {key.tobytes(): row for row, key in enumerate(keys)}

    def of_split(
        self, cached: CachedFeatures, split: str, further: Mapping[str, FeatureStore]
    ) -> SplitGraph:
        """A split of the records of the very store that has the training mentions' features; those
        without an entity never see each other.

        Args:
            further: the same records' stores of further encoders that the graph compares.
        """
        group = f"mentions/{split}"
        images = cached.image_rows[group]
        stores = {FIRST: cached.store, **further}
        texts = self._compared({name: global_texts(own, group) for name, own in stores.items()})
        transductive = self.similarity.config.transductive and split != NIL
        return self._below(texts, images, images, transductive)

    def of_new(
        self, texts: Mapping[str, np.ndarray], images: np.ndarray, keys: Sequence[bytes]
    ) -> SplitGraph:
        """New mentions, which never see each other, also where the graph is `transductive`.

        Args:
            texts: global features by encoder, at least of those that the graph compares, (m, d).
            images: rows (m,) of pictures, as the caller's `images` of `SplitGraph.read` takes them.
            keys: of each mention's picture, `b""` without one.
        """
        shown = np.array([self._known.get(key, -1) for key in keys], dtype=np.int32)
        return self._below(self._compared(texts), shown, images, transductive=False)

    def _compared(self, texts: Mapping[str, np.ndarray]) -> np.ndarray:
        return compared([texts[name] for name in self.similarity.config.encoders])

    def _below(
        self, texts: np.ndarray, shown: np.ndarray, images: np.ndarray, transductive: bool
    ) -> SplitGraph:
        """[[A_train, 0], [rows, own]] with the mentions below; at most `limit` neighbors a row.

        Args:
            shown: the store's row of each mention's very picture.
        """
        config, metric = self.similarity.config, self.similarity.metric

        def rows(other: np.ndarray, others: np.ndarray, same: bool) -> sp.csr_array:
            exclude = (shown, others) if config.exclude_same_image else None
            return build_rows(
                texts, other, metric, config.floor, config.max_neighbors, config.block_rows,
                exclude, same=same,
            )  # fmt: skip

        left = rows(self.features, self.images, same=False)
        own = sp.csr_array(sp.eye_array(len(texts), dtype=np.float32))
        if transductive:
            own = rows(texts, shown, same=True)
        below = limit_neighbors(hstack_csr(left, own), self.reading.limit)
        return SplitGraph.below_train(
            self.mentions.adjacency, below, self.images, images, self.reading
        )
