"""Rows that an older store of the same encoder has already: looked up by key, copied, not encoded.

A text's key is a hash of its token ids, a picture's a hash of its file's bytes, so equal keys under
one encoder mean equal features, whatever the records or the files are called. A picture that failed
has no features to carry over: it is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.reader import FeatureStore, RowArray
from stages.encode.units import WorkUnit


@dataclass(frozen=True)
class Reuse:
    """Where the rows of the new store stand in an older one.

    Args:
        store: the older store; read through memory maps, never written.
        rows: kind of unit -> row in `store` of each row of the new one, -1 where it has none,
            shape: (n,) for `texts`, (k,) for `pictures`.
    """

    store: FeatureStore
    rows: Mapping[str, np.ndarray]

    @classmethod
    def find(cls, store: FeatureStore, text_keys: np.ndarray, picture_keys: np.ndarray) -> Reuse:
        """Look the new store's keys up, both of shape (rows, 16), uint8.

        Raises:
            StoreError: an array of keys cannot be read.
        """
        texts, images = (np.full(len(keys), -1, np.int64) for keys in (text_keys, picture_keys))
        if "texts/keys" in store:
            texts = _rows_of(text_keys, _whole(store["texts/keys"]))
        if "images/keys" in store:
            images = _rows_of(picture_keys, _whole(store["images/keys"]))
            usable = np.append(_whole(store["images/ok"]) == 1, False)  # so that -1 stays -1
            images[~usable[images]] = -1
        return cls(store, {"texts": texts, "pictures": images})

    def fresh(self, unit: WorkUnit) -> list[int]:
        """The unit's rows that are to be encoded, as rows of the new store."""
        fresh = np.flatnonzero(self.rows[unit.kind][unit.lo : unit.hi] < 0)
        return (unit.lo + fresh).tolist()

    def count(self, kind: str) -> int:
        """Rows that are carried over."""
        return int((self.rows[kind] >= 0).sum())

    def texts(
        self, unit: WorkUnit, pooled: np.ndarray, tokens: np.ndarray, lengths: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Global features and tokens of the whole unit, the older store's rows among the fresh.

        Args:
            pooled, tokens: of the fresh texts alone, in their order.
            lengths: tokens of each of the unit's texts.
        """
        old = self.rows["texts"][unit.lo : unit.hi]
        kept = old >= 0  # (rows of the unit,)
        carried, _ = self.store.ragged("texts/local", "texts/offsets").gather(old[kept])
        whole = self.dense(unit, "texts/global", pooled)
        return whole, _joined(np.repeat(kept, lengths), carried, tokens)

    def dense(self, unit: WorkUnit, name: str, new: np.ndarray) -> np.ndarray:
        """The whole unit's rows of an array with a row a text or a picture; `new` are those of the
        fresh ones."""
        old = self.rows[unit.kind][unit.lo : unit.hi]
        kept = old >= 0
        return _joined(kept, self.store[name].gather(old[kept]), new)


def _joined(kept: np.ndarray, carried: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`carried` where `kept` is true, `new` elsewhere; shape: (len(kept), *trailing shape)."""
    out = np.empty((len(kept), *new.shape[1:]), new.dtype)
    out[kept], out[~kept] = carried, new
    return out


def _rows_of(asked: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Row of each key among `stored`, -1 where it is not there."""
    row_of = {key.tobytes(): row for row, key in enumerate(stored)}
    found: list[Any] = [row_of.get(key.tobytes(), -1) for key in asked]
    return np.array(found, dtype=np.int64)


def _whole(rows: RowArray) -> np.ndarray:
    return rows.slice(0, len(rows))
