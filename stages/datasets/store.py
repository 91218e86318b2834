"""A data set's stores for the steps that read them, checked against its records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from cache.build import recover
from cache.errors import StoreError
from cache.reader import FeatureStore
from cache.sealed import Sealed
from stages.datasets.records import read_digest
from stages.further import FURTHER
from stages.paths import DatasetPaths
from stages.section import Section, checked

SUMMARY, FAILED, LEDGER = "summary.json", "failed_pictures.csv", "store.json"
"""What extraction writes beside the store (stages/encode/summary.py)."""
ENCODER = (
    "text_encoder", "image_encoder", "image_size", "max_tokens", "text_pooling", "resize", "exif",
    "dtype", "features_version", "joint_encoder", "joint_version", "further_version",
)  # fmt: skip
"""Fields of a store's fingerprint that name its encoder: weights, preprocessing, precision. Of the
others the records and what is computed of them differ by the knowledge base, and batch sizes move
the last bits of a feature."""
GroupName = Literal["entities", "mentions/train", "mentions/valid", "mentions/test", "mentions/nil"]


class PictureCounts(Section):
    """`pictures` of the summary."""

    distinct: int
    failed: int
    failed_by_reason: dict[str, int]


class SummaryCounts(Section):
    """What reports read of the summary; it has more."""

    model_config = ConfigDict(extra="ignore")

    pictures: PictureCounts
    without_picture: dict[GroupName, int]


def recover_store(paths: DatasetPaths) -> None:
    """Complete a finish of the store that was killed half-way, of whichever command; call it before
    looking for the store, and before another one is made: a finish that is completed after that
    would put the older store into the newer one's place."""
    recover(paths.partial, paths.store)
    recover(paths.load_partial, paths.store)


def open_store(paths: DatasetPaths, records: str | None = None) -> FeatureStore:
    """The data set's finished store, made from the records that are there now.

    Args:
        records: the digest of those that were read already, which the store must be made from.

    Raises:
        MelovError: the data set has no records.
        StoreError: no store, an unfinished or damaged one, or one made from other records.
    """
    records = records or read_digest(paths.require_records())
    again = f"python -m pipeline.extract --dataset {paths.dataset}"
    recover_store(paths)
    if not paths.store.exists():
        raise StoreError(f"{paths.store}: no such feature store", again)
    store = FeatureStore.open(paths.store, hint=paths.repair)
    store.require_files()
    made_from = store.fingerprint.fields.get("records")
    if made_from != records:
        raise StoreError(
            f"{paths.store}: made from records {made_from}, but {paths.records} holds {records}",
            again,
        )
    return store


def open_joint(paths: DatasetPaths, records: str | None = None) -> FeatureStore:
    """The finished store of joint vectors, made from the records that are there now.

    Args:
        records: as of `open_store`.

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
    recover(paths.joint_partial, paths.joint)
    store = FeatureStore.open(paths.joint, hint=paths.repair)
    store.require_files()
    records = records or read_digest(paths.require_records())
    if store.fingerprint.fields.get("records") != records:
        raise StoreError(f"{paths.joint}: made from other records", f"{again} --replace")
    return store


def provenance_of(store: FeatureStore) -> dict[str, str]:
    """What names a store by all that it holds, and the digest of the records it was made from."""
    return {"store": store.identity, "records": store.fingerprint.fields["records"]}


def graph_provenance(store: FeatureStore, further: Mapping[str, FeatureStore]) -> dict[str, str]:
    """What names the stores that a graph compares mentions by; `further` by name."""
    own = {f"{FURTHER}{name}": one.identity for name, one in sorted(further.items())}
    return provenance_of(store) | own


def encoder_of(store: FeatureStore) -> dict[str, Any]:
    """What names the encoder of a store, of features or of joint vectors: heads that were trained
    over one store read any other of the same encoder.

    A store that was computed elsewhere and names no encoder has one of its own.
    """
    said = store.fingerprint.fields
    named = {field: said[field] for field in ENCODER if field in said}
    return named if {"text_encoder", "image_encoder", "joint_encoder"} & named.keys() else said


def read_summary(folder: Path, store: FeatureStore | None, hint: str) -> dict[str, Any] | None:
    """The summary of this very store (of any, if None is given); None where there is none.

    Raises:
        DamagedError: a file is not the one that was written, or lacks a count.
    """
    try:
        sealed = Sealed.read(folder / SUMMARY, hint)
    except FileNotFoundError:
        return None
    sealed.require(FAILED)
    sealed.require(LEDGER)
    fits = store is None or sealed.content.get("store") == store.identity
    if not fits:
        return None
    checked(SummaryCounts, sealed)
    return sealed.content
