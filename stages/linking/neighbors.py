"""Where new mentions stand in the graph: rows of similarities to the training mentions."""

import numpy as np
import scipy.sparse as sp

from stages.features.batches import GraphReading, SplitGraph
from stages.features.cached import CachedFeatures
from stages.features.neighborhood import limit_neighbors
from stages.graph.build import build_rows
from stages.graph.graph import Graph, hstack_csr
from stages.linking.features import ExtendedFeatures


class TrainingGraph:
    """The training mentions' graph, held open for any number of new mentions.

    A new mention gets its row as one of the test split does: by the stored graph's metric with the
    training set's constants, floor and number of neighbors. New mentions never see each
    other, also where the graph is `transductive`.

    Args:
        reading: how the run's GCN reads the graph.
    """

    def __init__(self, graph: Graph, cached: CachedFeatures, reading: GraphReading) -> None:
        self.graph, self.reading = graph, reading
        self.train = limit_neighbors(graph.train, reading.limit)
        self.images = cached.image_rows["mentions/train"]
        rows = cached.text_rows["mentions/train"]
        self.features = cached.store["texts/global"].gather(rows).astype(np.float32)
        self.known: dict[bytes, int] = {}
        if graph.config.exclude_same_image and "images/keys" in cached.store:
            keys = cached.store["images/keys"]
            stored = keys.slice(0, len(keys))
            self.known = {key.tobytes(): row for row, key in enumerate(stored)}

    def extended(self, mentions: ExtendedFeatures) -> SplitGraph:
        """[[A_train, 0], [rows, I]] with the new mentions, at most `limit` neighbors a row."""
        config, new = self.graph.config, mentions.new
        exclude = (self._pictures(mentions), self.images) if config.exclude_same_image else None
        texts = new.text_global.astype(np.float32)
        left = build_rows(
            texts, self.features, self.graph.metric, config.floor, config.max_neighbors,
            config.block_rows, exclude,
        )  # fmt: skip
        own = sp.csr_array(sp.eye_array(len(new), dtype=np.float32))
        rows = limit_neighbors(hstack_csr(left, own), self.reading.limit)
        return SplitGraph.below_train(
            self.train, rows, self.images, mentions.image_rows, self.reading
        )

    def _pictures(self, mentions: ExtendedFeatures) -> np.ndarray:
        """The store's row of each new mention's very same picture, -1 where it has none."""
        keys = mentions.new.keys
        found = [self.known.get(keys[p], -1) if p >= 0 else -1 for p in mentions.new.pictures]
        return np.array(found, dtype=np.int32)
