"""Global features of a further encoder by record, gathered from its own store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cache.errors import DamagedStoreError
from cache.reader import FeatureStore
from stages.features.stored import rows_of, whole
from stages.further import SENTENCE, of_sentence


class FurtherFeatures:
    """Args:
        records: of each group of the first encoder's store.

    Raises:
        DamagedStoreError: a row that is no row, or other records than these.
    """

    def __init__(self, name: str, store: FeatureStore, records: Mapping[str, int]) -> None:
        self.name, self.store = name, store
        self.pictures = store.attributes.get("reads") == "pictures"
        kind, column, least = ("images", "image", -1) if self.pictures else ("texts", "text", 0)
        self._array, self._keys = f"{kind}/global", f"{kind}/keys"
        for array in (self._array, self._keys):
            if array not in store:
                raise DamagedStoreError(f"{store.path}: damaged: holds no {array}", store.hint)
        self.rows = {g: rows_of(store, f"{g}/{column}", self._array, least) for g in records}
        self.sentences: dict[str, np.ndarray] = {}
        if not self.pictures:
            mentions = [group for group in records if group != "entities"]
            self.sentences = {g: rows_of(store, f"{g}/{SENTENCE}", self._array) for g in mentions}
        for column_of in (self.rows, self.sentences):
            for group, rows in column_of.items():
                if len(rows) != records[group]:
                    what = f"{group} is damaged: {len(rows):,} records, expected {records[group]:,}"
                    raise DamagedStoreError(f"{store.path}: {what}", store.hint)

    @property
    def width(self) -> int:
        return int(self.store[self._array].shape[1])

    def of(
        self, group: str, rows: np.ndarray, keep: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Features of some records, float16 (n, d), as `Features.further` names them.

        Args:
            keep: (n,) False takes a record's picture away.
        """
        at = self.rows[group][rows]
        if self.pictures and keep is not None:
            at = np.where(keep, at, -1)
        found = {self.name: self._gathered(at)}
        if group in self.sentences:
            found[of_sentence(self.name)] = self._gathered(self.sentences[group][rows])
        return found

    def keys(self, entities: np.ndarray) -> np.ndarray:
        """What the store holds the entities' features under, uint8 (n, 16); zeros without."""
        at, stored = self.rows["entities"][entities], whole(self.store, self._keys)
        keys = np.zeros((len(at), stored.shape[1]), np.uint8)
        keys[at >= 0] = stored[at[at >= 0]]
        return keys

    def _gathered(self, at: np.ndarray) -> np.ndarray:
        array, there = self.store[self._array], at >= 0
        if there.all():
            return array.gather(at)
        found = np.zeros((len(at), *array.shape[1:]), array.dtype)
        if there.any():
            found[there] = array.gather(at[there])
        return found
