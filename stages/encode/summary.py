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
from stages.datasets.fallback import tried
from stages.datasets.records import Records
from stages.datasets.store import FAILED, LEDGER, SUMMARY
from stages.encode.plan import tables_of
from stages.shown import cell

STATUS_REASON = {"missing": "missing file", "empty": "empty file", "unreadable": "unreadable file"}


@dataclass(frozen=True)
class FailedPicture:
    """A picture without features, and the records that lose theirs by it or use their next one."""

    path: str
    reason: str
    records: int
    first_record: str


def failed_pictures(store: FeatureStore, records: Records) -> list[FailedPicture]:
    """Every picture that was tried and has no features, by path."""
    paths = records.pictures["path"].to_pylist()
    reasons = _reasons(store, records)
    owners: dict[int, list[str]] = {}
    for group, table in tables_of(records).items():
        kind = "entity" if group == "entities" else "mention"
        ids, pictures = (table[column].to_pylist() for column in ("id", "picture"))
        several = table["pictures"].to_pylist() if group == "entities" else [[]] * len(ids)
        for owner, picture, all_of_it in zip(ids, pictures, several, strict=True):
            for one in tried(picture, all_of_it):
                if one in reasons:
                    owners.setdefault(one, []).append(f"{kind} {owner}")
    found = [
        FailedPicture(paths[picture], reasons[picture], len(named), named[0])
        for picture, named in owners.items()
    ]
    return sorted(found, key=lambda failed: failed.path)


def fallen_back(store: FeatureStore, records: Records) -> int:
    """Entities whose first picture failed and that have a later one."""
    reasons, images = _reasons(store, records), store["entities/image"]
    firsts = [own[0] if own else -1 for own in records.entities["pictures"].to_pylist()]
    there = images.slice(0, len(images)) >= 0
    return sum(first in reasons and bool(has) for first, has in zip(firsts, there, strict=True))


def _reasons(store: FeatureStore, records: Records) -> dict[int, str]:
    """Why a picture has no features, by its row in the records."""
    decoding: dict[str, str] = store.attribute("failed_pictures")
    columns = (records.pictures[name].to_pylist() for name in ("path", "key", "status"))
    paths, keys, status = columns
    # One file under two names is decoded once, under the first: both names fail with it.
    by_key = {k: decoding[p] for p, k in zip(paths, keys, strict=True) if p in decoding}
    why = [STATUS_REASON.get(s) or by_key.get(k) for s, k in zip(status, keys, strict=True)]
    return {row: reason for row, reason in enumerate(why) if reason is not None}


def write_summary(folder: Path, store: FeatureStore, records: Records) -> dict[str, Any]:
    """Write both files of `folder`; returns the summary."""
    has_images = "images/global" in store
    failed = failed_pictures(store, records) if has_images else []
    tokens = store.ragged("texts/local", "texts/offsets")
    groups = [*tables_of(records)]
    asked = sum(len(store[f"{group}/text"]) for group in groups)
    summary: dict[str, Any] = {
        "store": store.identity,
        "texts": {
            "records": asked,
            "distinct": len(tokens),
            "tokens": int(tokens.lengths(np.arange(len(tokens))).sum()),
        },
        "texts_at_max_tokens": store.attribute("texts_at_max_tokens"),
        "pictures": {
            "distinct": store["images/global"].shape[0] if has_images else 0,
            "failed": len(failed),
            "failed_by_reason": dict(sorted(Counter(_kind(f.reason) for f in failed).items())),
        },
        "fallen_back": fallen_back(store, records) if has_images else 0,
        "without_picture": {
            group: int(np.sum(store[f"{group}/image"].slice(0, len(store[f"{group}/image"])) < 0))
            for group in groups
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
