"""What a run needs of the mentions that it was trained on, whatever knowledge base it ranks.

    remembered = TrainingMentions.of(adjacency, store, records, further)
    remembered.save(folder / "training.npz")
    graph = remembered.placed(store, cached)     # in any store that has their features

A GCN reads the training mentions that a new one resembles. Their graph is the run's, as its weights
are: the data set's own may be of other settings by now, or of other mentions. Their features lie in
the store, under the keys that the run remembers; of further encoders that the graph compares, the
run has them itself.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cache.errors import DamagedError, MelovError, reason
from cache.npz import read_npz
from cache.ragged import ascends
from cache.reader import FeatureStore
from cache.strings import pack_strings, unpack_strings
from stages.config import GraphConfig
from stages.datasets.records import Records
from stages.features.stored import rows_of, whole
from stages.graph.graph import Graph
from stages.graph.similarity import Metric, make_metric
from stages.graph.source import global_texts
from stages.section import Section

KEY_BYTES = 16
TRAIN = "mentions/train"
FURTHER = "further_"
"""Of the arrays of further encoders, before their names."""


class Similarity(Section):
    """How mentions are compared: the graph's settings, with the training set's constants."""

    config: GraphConfig
    bandwidth: float
    dot_scale: float

    @classmethod
    def of(cls, graph: Graph) -> Similarity:
        bandwidth, dot_scale = graph.metric_constants
        return cls(config=graph.config, bandwidth=bandwidth, dot_scale=dot_scale)

    @property
    def metric(self) -> Metric:
        return make_metric(self.config.metric, self.bandwidth, self.dot_scale)


@dataclass(frozen=True)
class TrainingMentions:
    """The n training mentions of a run.

    Args:
        adjacency: their similarities A (n, n) as the run's GCN reads them, float32 CSR.
        texts: uint8 (n, 16), the keys of their texts (`texts/keys` of a store).
        pictures: uint8 (n, 16), the keys of their pictures; zeros without one.
        ids, words: of the records, (n,).
        further: global texts of further encoders that the graph compares, by name, float16 (n, d).
    """

    adjacency: sp.csr_array
    texts: np.ndarray
    pictures: np.ndarray
    ids: list[str]
    words: list[str]
    further: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls, adjacency: sp.csr_array, store: FeatureStore, records: Records,
        further: Mapping[str, FeatureStore],
    ) -> TrainingMentions:  # fmt: skip
        """Those of a data set.

        Args:
            adjacency: of its graph, limited already.
            further: stores of the further encoders that it compares.
        """
        keys = whole(store, "texts/keys")[rows_of(store, f"{TRAIN}/text", "texts/global")]
        rows = rows_of(store, f"{TRAIN}/image", "images/global", -1)
        pictures = np.zeros((len(rows), KEY_BYTES), np.uint8)
        if "images/keys" in store:
            pictures[rows >= 0] = whole(store, "images/keys")[rows[rows >= 0]]
        table = records.mentions["train"]
        ids, words = (table[name].to_pylist() for name in ("id", "words"))
        compared = {name: global_texts(own, TRAIN) for name, own in further.items()}
        return cls(adjacency, keys, pictures, ids, words, compared)

    def save(self, path: Path) -> None:
        """One .npz file, the same bytes for the same mentions."""
        arrays: dict[str, Any] = {
            "indptr": self.adjacency.indptr.astype(np.int64),
            "indices": self.adjacency.indices.astype(np.int32),
            "data": self.adjacency.data.astype(np.float32),
            "texts": self.texts,
            "pictures": self.pictures,
        }
        for name in ("ids", "words"):
            arrays[name], arrays[f"{name}_offsets"] = pack_strings(getattr(self, name))
        arrays |= {FURTHER + name: texts for name, texts in self.further.items()}
        file = io.BytesIO()
        np.savez(file, **arrays)
        path.write_bytes(file.getvalue())

    @classmethod
    def read(cls, data: bytes, where: str, again: str) -> TrainingMentions:
        """What `save` wrote.

        Raises:
            DamagedError: it is something else; `again` is the command that makes it.
        """
        arrays = read_npz(data, where, lambda said: DamagedError(f"{said}: damaged", again))
        try:
            indptr, n = arrays["indptr"], len(arrays["texts"])
            if indptr.dtype != np.int64 or arrays["indices"].dtype != np.int32:
                raise ValueError("indices of another type")
            if arrays["data"].dtype != np.float32 or not np.isfinite(arrays["data"]).all():
                raise ValueError("similarities that are no finite numbers")
            if not ascends(indptr):
                raise ValueError("offsets that do not ascend")
            parts = (arrays["data"], arrays["indices"], indptr)
            adjacency = sp.csr_array(parts, shape=(n, n), copy=True)
            adjacency.check_format()  # before anything follows the indices
            adjacency.indptr = adjacency.indptr.astype(np.int32)
            keys = [arrays[name] for name in ("texts", "pictures")]
            if any(k.shape != (n, KEY_BYTES) or k.dtype != np.uint8 for k in keys):
                raise ValueError("keys of another shape")
            ids, words = (_strings(arrays, name, n) for name in ("ids", "words"))
            further = {
                name.removeprefix(FURTHER): texts
                for name, texts in arrays.items() if name.startswith(FURTHER)
            }  # fmt: skip
            for texts in further.values():
                if texts.dtype != np.float16 or texts.ndim != 2 or len(texts) != n:
                    raise ValueError("texts of a further encoder of another shape")
                if not np.isfinite(texts).all():
                    raise ValueError("texts of a further encoder that are no finite numbers")
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{where}: damaged: {reason(error)}", again) from None
        return cls(adjacency, keys[0], keys[1], ids, words, further)

    def rows(self, store: FeatureStore, hint: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the mentions' features lie in a store: rows of texts and of pictures, -1 without.

        Raises:
            MelovError: some are not there.
        """
        texts = _found(self.texts, whole(store, "texts/keys"))
        pictures = np.full(len(self), -1, np.int64)
        shown = self.pictures.any(1)
        if shown.any() and "images/keys" in store:
            pictures[shown] = _found(self.pictures[shown], whole(store, "images/keys"))
        lost = (texts < 0) | (shown & (pictures < 0))
        if lost.any():
            first = self.ids[int(lost.argmax())]
            raise MelovError(
                f"{store.path}: has no features of {int(lost.sum()):,} of the {len(self):,} "
                f"mentions that the run was trained on, such as {first!r:.60}; its GCN reads them",
                hint,
            )
        return texts.astype(np.int32), pictures.astype(np.int32)


def _found(wanted: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The row of each key, -1 where it is not stored."""
    row_of = {key.tobytes(): row for row, key in enumerate(stored)}
    return np.array([row_of.get(key.tobytes(), -1) for key in wanted], dtype=np.int64)


def _strings(arrays: dict[str, np.ndarray], name: str, n: int) -> list[str]:
    offsets = arrays[f"{name}_offsets"]
    if offsets.shape != (n + 1,) or offsets.dtype != np.int64 or not ascends(offsets):
        raise ValueError(f"{name} that are not {n}")
    if offsets[0] != 0 or offsets[-1] != len(arrays[name]) or arrays[name].dtype != np.uint8:
        raise ValueError(f"{name} without an end")
    return unpack_strings(arrays[name], offsets)
