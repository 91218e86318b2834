"""A data set's stores for the steps that read them, checked against its records."""

from cache.errors import StoreError
from cache.reader import FeatureStore
from stages.datasets.records import read_digest
from stages.paths import DatasetPaths


def open_store(paths: DatasetPaths) -> FeatureStore:
    """The data set's finished store, made from the records that are there now.

    Raises:
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


def open_joint(paths: DatasetPaths) -> FeatureStore:
    """The finished store of joint vectors, made from the records that are there now.

    Raises:
        StoreError: there is none, or it was made from other records.
    """
    again = f"python -m pipeline.joint --dataset {paths.dataset} --encoder dandelin/vilt-b32-mlm"
    if not paths.joint.exists():
        raise StoreError(
            f"{paths.joint}: not there; the baseline vilt needs the joint vectors of text and "
            "picture",
            again,
        )
    store = FeatureStore.open(paths.joint, hint=again)
    records = read_digest(paths.require_records())
    if store.fingerprint.fields.get("records") != records:
        raise StoreError(f"{paths.joint}: made from other records", f"{again} --replace")
    return store


def provenance_of(store: FeatureStore) -> dict[str, str]:
    """Digests of a store and of the records that it was made from."""
    return {"store": store.fingerprint.digest, "records": store.fingerprint.fields["records"]}
