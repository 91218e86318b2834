"""What extraction did, and every picture that failed with its reason.

extract/summary.json          counts, and which store they are of; vouches for the others
extract/failed_pictures.csv   path, reason, records, first_record
extract/store.json            the store's own zarr.json once more, with all its checksums
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.check import ledger_text
from cache.files import replacing_files
from cache.reader import FeatureStore
from cache.sealed import write_sealed
from stages.datasets.records import Records
from stages.datasets.store import FAILED, LEDGER, SUMMARY
from stages.encode.plan import GROUPS, tables_of
from stages.shown import cell

STATUS_REASON = {"missing": "missing file", "empty": "empty file", "unreadable": "unreadable file"}


@dataclass(frozen=True)
class FailedPicture:
    """A picture without features, and the records that lose theirs by it."""

    path: str
    reason: str
    records: int
    first_record: str


def failed_pictures(store: FeatureStore, records: Records) -> list[FailedPicture]:
    """Every picture that a record names first and that has no features, by path."""
    decoding: dict[str, str] = store.attributes["failed_pictures"]
    paths = records.pictures["path"].to_pylist()
    status = records.pictures["status"].to_pylist()
    owners: dict[int, list[str]] = {}
    for group, table in tables_of(records).items():
        kind = "entity" if group == "entities" else "mention"
        ids, pictures = (table[column].to_pylist() for column in ("id", "picture"))
        for owner, picture in zip(ids, pictures, strict=True):
            if picture >= 0:
                owners.setdefault(picture, []).append(f"{kind} {owner}")
    # One file under two names is decoded once, under the first: both names fail with it.
    keys = records.pictures["key"].to_pylist()
    by_key = {k: decoding[p] for p, k in zip(paths, keys, strict=True) if p in decoding}
    found = []
    for picture, named in owners.items():
        reason = STATUS_REASON.get(status[picture]) or by_key.get(keys[picture])
        if reason is not None:
            found.append(FailedPicture(paths[picture], reason, len(named), named[0]))
    return sorted(found, key=lambda failed: failed.path)


def write_summary(folder: Path, store: FeatureStore, records: Records) -> dict[str, Any]:
    """Write both files of `folder`; returns the summary."""
    has_images = "images/global" in store
    failed = failed_pictures(store, records) if has_images else []
    tokens = store.ragged("texts/local", "texts/offsets")
    asked = sum(len(store[f"{group}/text"]) for group in GROUPS)
    summary: dict[str, Any] = {
        "store": store.identity,
        "texts": {
            "records": asked,
            "distinct": len(tokens),
            "tokens": int(tokens.lengths(np.arange(len(tokens))).sum()),
        },
        "texts_at_max_tokens": store.attributes["texts_at_max_tokens"],
        "pictures": {
            "distinct": store["images/global"].shape[0] if has_images else 0,
            "failed": len(failed),
            "failed_by_reason": dict(sorted(Counter(_kind(f.reason) for f in failed).items())),
        },
        "without_picture": {
            group: int(np.sum(store[f"{group}/image"].slice(0, len(store[f"{group}/image"])) < 0))
            for group in GROUPS
        },
    }
    with replacing_files(folder, last=SUMMARY) as scratch:
        _write_failed(scratch / FAILED, failed)
        (scratch / LEDGER).write_text(ledger_text(store), encoding="utf-8")
        beside = [scratch / FAILED, scratch / LEDGER]
        write_sealed(scratch / SUMMARY, summary, beside, atomic=False)
    return summary


def _write_failed(path: Path, failed: list[FailedPicture]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "reason", "records", "first_record"])
        writer.writerows(
            [cell(f.path), cell(f.reason), f.records, cell(f.first_record)] for f in failed
        )


def _kind(reason: str) -> str:
    """The reason up to its details, so that like failures are counted together."""
    return reason.split(":")[0]
