"""Extraction: frozen encoders run once over every distinct text and picture.

Works in a folder of `data/<dataset>/.partial/`, which DVC does not know, and renames the finished
store into place. After a kill the same call resumes, and several processes may work on one store at
once. Where an older store of the same encoder is there, its rows are copied and only new texts and
pictures are encoded.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.build import building, sweep
from cache.fingerprint import Fingerprint
from cache.locks import working
from stages.config import ExtractConfig
from stages.datasets.decoding.changed import ChangedPictureError
from stages.datasets.pictures import KeyCache
from stages.datasets.records import Records, read_digest
from stages.datasets.store import recover_store
from stages.encode.encoders.families import Checkpoints, find_checkpoints
from stages.encode.fingerprint import fingerprint_of
from stages.encode.older import Older, find_older
from stages.paths import DatasetPaths


@dataclass(frozen=True)
class Extraction:
    """A finished store; `timings` is empty where nothing was left to do.

    Args:
        reused: as in the store's attributes: what came out of an older store; None if nothing did.
    """

    store: Path
    timings: dict[str, Any]
    reused: dict[str, Any] | None = None

    @property
    def did_work(self) -> bool:
        return bool(self.timings)


def extract(
    paths: DatasetPaths,
    config: ExtractConfig,
    force: bool = False,
    replace: bool = False,
    together: bool = False,
) -> Extraction:
    """Make the feature store of a prepared data set, find it finished, or update it.

    A finished store of the same encoder and settings is updated where only the records differ:
    texts and pictures that it has are copied, the others encoded. A process waits for another one
    that makes the store of this data set.

    Args:
        force: encode everything, whatever is there.
        replace: encode everything where the store at hand cannot be used, instead of raising.
        together: share the work with processes that were started so, with the same settings.

    Raises:
        MelovError: no records, no such encoder, a full disk; others work together with other
            settings.
        StoreError: a store that can neither be used nor updated lies at the target (all differing
            fields are named), or the one to update is damaged.
    """
    digest = read_digest(paths.require_records())
    checkpoints = find_checkpoints(config, paths.root)
    asked = fingerprint_of(digest, checkpoints, config, config.dtype)
    with working(paths.lock("store"), "extracts", asked.digest if together else None):
        try:
            return _extract(paths, config, checkpoints, asked, force, replace)
        except ChangedPictureError:
            # Whatever the file system says of it: prepare reads every picture anew.
            (paths.partial / KeyCache.NAME).unlink(missing_ok=True)
            raise


def _extract(
    paths: DatasetPaths, config: ExtractConfig, checkpoints: Checkpoints, asked: Fingerprint,
    force: bool, replace: bool,
) -> Extraction:  # fmt: skip
    recover_store(paths)
    older = Older(asked, None) if force else find_older(paths, asked, replace)
    if replace or not older.is_finished:  # DVC replaces, and only where a byte has changed
        older = older.checked(replace)
    if older.is_finished:
        sweep(paths.partial)  # work of other settings, which this store supersedes
        return Extraction(paths.store, {})

    # Here and not above: torch takes seconds to import, and a finished store needs none of it.
    from stages.allocator import keep_freed_memory
    from stages.device import DTYPES, resolve_device, resolve_dtype
    from stages.encode.feature_job import feature_job

    begun = time.perf_counter()
    device = resolve_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    dtype = resolve_dtype(older.asked.fields["dtype"], device)
    asked = Fingerprint({**older.asked.fields, "dtype": dtype})
    records = Records.load(paths.records, asked.fields["records"])
    job = feature_job(paths, records, config, checkpoints, device, DTYPES[dtype], older.store)
    planned = {"seconds_planning": round(time.perf_counter() - begun, 3)}

    # Reused rows have other last bits, so units of another mixture must not get in.
    name = asked.digest
    if older.store is not None:
        name += f"-{older.store.identity}"
    made = Extraction(paths.store, {})  # by another process, unless this one finishes it
    with building(paths.store, paths.partial, name, asked, job.specs) as build:
        timings = planned | job.run(build, config.decode_threads)
        # They are of the store that is replaced now; a kill must not keep them beside the new.
        (paths.extract / "timings.json").unlink(missing_ok=True)
        attributes = job.finish(build)
        made = Extraction(paths.store, timings, attributes["reused"])
    del job, older  # which hold the older store open
    sweep(paths.partial)
    return made
