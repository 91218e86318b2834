"""Opens a data set's feature store for the steps that read it, checked against its records."""

from __future__ import annotations

from cache.errors import StoreError
from cache.reader import FeatureStore
from stages.datasets.records import read_digest
from stages.paths import DatasetPaths


def open_store(paths: DatasetPaths) -> FeatureStore:
    """The data set's finished store, made from the records that are there now.

    Raises
    ------
    MelovError: the data set has no records.
    StoreError: no store, an unfinished one, or one made from other records.
    """
    records = read_digest(paths.require_records())
    again = f"python -m pipeline.extract --dataset {paths.dataset}"
    store = FeatureStore.open(paths.store, hint=again)
    made_from = store.fingerprint.fields.get("records")
    if made_from != records:
        raise StoreError(
            f"{paths.store}: made from records {made_from}, but {paths.records} holds {records}",
            again,
        )
    return store
