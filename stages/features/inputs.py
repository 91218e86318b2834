"""Batches for the heads, gathered from the memory-mapped store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from cache.errors import MelovError
from cache.ragged import RaggedArray
from cache.reader import FeatureStore
from stages.features.features import Features
from stages.heads.gcn import limit_neighbors, neighborhood
from stages.heads.model import HeadsConfig, MentionInput
from stages.paths import SPLITS


class CachedFeatures:
    """A store's features as `Features` batches on a device.

    Tokens and patches keep the store's precision: they are copied once, and the heads widen them
    where they use them.

    Parameters
    ----------
    units: of the matcher; arrays that none of them reads are left alone.
    local: False leaves tokens and patches alone too; batches then hold none of either.
    """

    def __init__(
        self,
        store: FeatureStore,
        units: Sequence[str],
        device: torch.device,
        local: bool = True,
    ) -> None:
        self.store, self.device, self.local = store, device, local
        self.uses_images = bool({"vision", "cross"} & set(units))
        if self.uses_images and "images/global" not in store:
            raise MelovError(
                f"{store.path}: holds no picture features, and the units {list(units)} need them",
                "train on text alone: --set train.units=[text]",
            )
        self.shapes: dict[str, int] = store.attributes["shapes"]
        self.tokens = RaggedArray(store["texts/local"], _whole(store, "texts/offsets"))
        self.text_rows = {g: _whole(store, f"{g}/text") for g in _groups()}
        self.image_rows = {g: _whole(store, f"{g}/image") for g in _groups()}
        self.lexical = (
            {g: lexical_rows(store, g) for g in _groups()} if "lexical" in units else None
        )
        # A store of an earlier version has no words; only train.contained_scale asks for them.
        reads_words = "lexical" in units and "words/idf" in store
        self.words = {g: _csr(store, "words", g) for g in _groups()} if reads_words else None

    @property
    def n_entities(self) -> int:
        return len(self.text_rows["entities"])

    def n_mentions(self, split: str) -> int:
        return len(self.text_rows[f"mentions/{split}"])

    def entities(self, rows: np.ndarray) -> Features:
        """Entities by row of the knowledge base."""
        return self._features("entities", rows, self.image_rows["entities"][rows])

    def mentions(self, split: str, rows: np.ndarray, keep: np.ndarray | None = None) -> Features:
        """Mentions by row of the split; `keep` (mentions,) False takes a mention's picture away."""
        group = f"mentions/{split}"
        images = self.image_rows[group][rows]
        if keep is not None:
            images = np.where(keep[rows], images, -1)
        return self._features(group, rows, images)

    def _features(self, group: str, rows: np.ndarray, images: np.ndarray) -> Features:
        texts = self.text_rows[group][rows]
        local, mask = self._tokens(texts)
        image_global, image_local = self.images(images) if self.uses_images else (None, None)
        return Features(
            text_global=self._tensor(self.store["texts/global"].gather(texts)).float(),
            text_local=self._tensor(local),
            text_mask=torch.from_numpy(mask).to(self.device),
            has_image=torch.from_numpy(images >= 0).to(self.device),
            image_global=image_global,
            image_local=image_local,
            lexical=None if self.lexical is None else self.lexical[group][rows],
            words=None if self.words is None else self.words[group][rows],
        )

    def _tokens(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.local:
            return self.tokens.gather_padded(texts)
        none = np.zeros((len(texts), 0, self.shapes["d_local"]), np.float16)
        return none, np.zeros((len(texts), 0), bool)

    def images(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Global (n, d) and local (n, n_p, d'), zero where a row is -1; n_p = 0 without `local`."""
        missing = rows < 0
        found = []
        for name in ("images/global", "images/local"):
            array = self.store[name]
            if name == "images/local" and not self.local:
                values = np.zeros((len(rows), 0, array.shape[2]), array.dtype)
            elif missing.all():  # the store may hold no picture at all
                values = np.zeros((len(rows), *array.shape[1:]), array.dtype)
            else:
                # One copy a picture: any row stands in where there is none.
                values = array.gather(np.where(missing, rows.max(), rows))
                values[missing] = 0
            found.append(self._tensor(values))
        return found[0].float(), found[1]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)


@dataclass(frozen=True)
class SplitGraph:
    """A split's mentions beside the training mentions: rows [0, n) train, then the split's own."""

    adjacency: sp.csr_array
    image_rows: np.ndarray
    first: int
    """Row of the split's first mention."""


class MentionInputs:
    """`MentionInput` batches of a split: features, and the neighbourhood that the GCN reads."""

    def __init__(
        self,
        cached: CachedFeatures,
        config: HeadsConfig,
        graphs: dict[str, sp.csr_array] | None,
        neighbor_limit: int,
        keep: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.cached, self.config, self.keep = cached, config, keep or {}
        self.graphs: dict[str, SplitGraph] = {}
        if config.uses_graph:
            if graphs is None:
                raise ValueError(f"variant {config.variant} reads the graph and none was given")
            self.graphs = {
                split: self._beside_train(split, graphs, neighbor_limit) for split in graphs
            }

    def batch(self, split: str, rows: np.ndarray) -> MentionInput:
        """Mentions by row of the split; rows must be distinct."""
        features = self.cached.mentions(split, rows, self.keep.get(split))
        if not self.config.uses_graph:
            return MentionInput(features)
        return with_neighbors(features, self.config, self.graphs[split], rows, self.cached.images)

    def _beside_train(self, split: str, graphs: dict[str, sp.csr_array], limit: int) -> SplitGraph:
        train_images = self.cached.image_rows["mentions/train"]
        train = limit_neighbors(graphs["train"], limit)
        if split == "train":
            return SplitGraph(train, train_images, 0)
        rows = limit_neighbors(graphs[split], limit)
        return beside_train(train, rows, train_images, self.cached.image_rows[f"mentions/{split}"])


def beside_train(
    train: sp.csr_array, rows: sp.csr_array, train_images: np.ndarray, images: np.ndarray
) -> SplitGraph:
    """[[A_train, 0], rows]: m mentions below the n training mentions, `rows` (m, n + m)."""
    wide = sp.csr_array(
        (train.data, train.indices, train.indptr), shape=(train.shape[0], rows.shape[1])
    )
    both = sp.csr_array(sp.vstack([wide, rows], format="csr"))
    return SplitGraph(both, np.concatenate([train_images, images]), train.shape[0])


def with_neighbors(
    features: Features,
    config: HeadsConfig,
    graph: SplitGraph,
    rows: np.ndarray,
    images: Callable[[np.ndarray], tuple[Tensor, Tensor]],
) -> MentionInput:
    """Features of distinct `rows` of a split, and what their GCN reads.

    Parameters
    ----------
    images: turns rows of `graph.image_rows` into features, as `CachedFeatures.images` does.
    """
    device = features.has_image.device
    found = neighborhood(
        graph.adjacency,
        rows + graph.first,
        config.gcn_layers,
        degrees=config.normalization == "sym",
    ).to(device)
    image_rows = graph.image_rows[found.nodes]
    node_global, node_local = images(image_rows)
    has_image = torch.from_numpy(image_rows >= 0).to(device)
    return MentionInput(features, found, node_global, node_local, has_image)


def _groups() -> list[str]:
    return ["entities", *(f"mentions/{split}" for split in SPLITS)]


def _whole(store: FeatureStore, name: str) -> np.ndarray:
    return np.array(store[name].slice(0, len(store[name])))


def lexical_rows(store: FeatureStore, group: str) -> sp.csr_array:
    """TF-IDF rows of a group's names, CSR float32 (records, terms), of unit length."""
    return _csr(store, "lexical", group)


def _csr(store: FeatureStore, kind: str, group: str) -> sp.csr_array:
    part = [_whole(store, f"{kind}/{group}/{name}") for name in ("data", "indices", "indptr")]
    return sp.csr_array(tuple(part), shape=(len(part[2]) - 1, len(store[f"{kind}/idf"])))
