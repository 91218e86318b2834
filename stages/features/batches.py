"""Batches of mentions with the neighborhood that their GCN reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stages.features.cached import CachedFeatures
from stages.features.features import Features, MentionInput, NodePictures
from stages.features.neighborhood import SharedEdges, limit_neighbors, neighborhood


@dataclass(frozen=True)
class GraphReading:
    """How a GCN reads a graph.

    layers: of the GCN; limit: nearest neighbors a layer reads, 0 for all.
    degrees: whether it needs its neighbors' own degrees (`normalization: sym`).
    """

    layers: int
    limit: int
    degrees: bool = False


@dataclass(frozen=True)
class SplitGraph:
    """A split's mentions below the training mentions: rows [0, n) train, then the split's own.

    image_rows: each row's picture in the store, -1 without one.
    first: row of the split's first mention.
    """

    adjacency: sp.csr_array
    image_rows: np.ndarray
    first: int
    reading: GraphReading

    @classmethod
    def below_train(
        cls, train: sp.csr_array, rows: sp.csr_array, train_images: np.ndarray, images: np.ndarray,
        reading: GraphReading,
    ) -> SplitGraph:  # fmt: skip
        """[[A_train, 0], rows]: m mentions below the n training mentions, `rows` (m, n + m); both
        limited already."""
        shape = (train.shape[0], rows.shape[1])
        wide = sp.csr_array((train.data, train.indices, train.indptr), shape=shape)
        both = sp.csr_array(sp.vstack([wide, rows], format="csr"))
        return cls(both, np.concatenate([train_images, images]), train.shape[0], reading)

    def read(
        self,
        features: Features,
        rows: np.ndarray,
        images: Callable[[np.ndarray], tuple[Tensor, Tensor]],
    ) -> MentionInput:
        """Features of distinct `rows` of the split, and what their GCN reads.

        Args:
            images: turns rows of `image_rows` into features, as `CachedFeatures.images` does.
        """
        device = features.has_image.device
        layers, degrees = self.reading.layers, self.reading.degrees
        found = neighborhood(self.adjacency, rows + self.first, layers, degrees)
        image_rows = self.image_rows[found.nodes]
        distinct = np.unique(image_rows[image_rows >= 0])
        of_node = np.where(image_rows >= 0, np.searchsorted(distinct, image_rows), -1)
        pictures = images(distinct if len(distinct) else np.array([-1]))
        edges = SharedEdges.of(found.blocks[0].edges, of_node, len(pictures[0])).to(device)
        place = torch.from_numpy(of_node).to(device)
        return MentionInput(features, found.to(device), NodePictures(*pictures, place, edges))


class MentionInputs:
    """`MentionInput` batches of a split.

    Args:
        graphs: by split; None where nothing reads a graph.
        keep: split -> whether a mention keeps its picture, bool (mentions,).
    """

    def __init__(
        self, cached: CachedFeatures, graphs: Mapping[str, sp.csr_array] | None = None,
        reading: GraphReading | None = None, keep: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self.cached, self.keep = cached, keep or {}
        self.graphs: dict[str, SplitGraph] = {}
        if graphs is None or reading is None:
            return
        train = limit_neighbors(graphs["train"], reading.limit)
        train_images = cached.image_rows["mentions/train"]
        self.graphs["train"] = SplitGraph(train, train_images, 0, reading)
        for split in graphs.keys() - {"train"}:
            rows = limit_neighbors(graphs[split], reading.limit)
            images = cached.image_rows[f"mentions/{split}"]
            self.graphs[split] = SplitGraph.below_train(train, rows, train_images, images, reading)

    @classmethod
    def around(
        cls, cached: CachedFeatures, graphs: Mapping[str, SplitGraph],
        keep: Mapping[str, np.ndarray] | None = None,
    ) -> MentionInputs:  # fmt: skip
        """With graphs that are built already; none where nothing reads one."""
        found = cls(cached, keep=keep)
        found.graphs = dict(graphs)
        return found

    def batch(self, split: str, rows: np.ndarray) -> MentionInput:
        """Mentions by row of the split; rows must be distinct."""
        features = self.cached.mentions(split, rows, self.keep.get(split))
        if not self.graphs:
            return MentionInput(features)
        return self.graphs[split].read(features, rows, self.cached.images)
