"""A store that frozen encoders make of a data set's records: found finished, updated, or made.

Works in a folder that DVC does not know, and renames the finished store into place. After a kill
the same call resumes, and several processes may work on one store at once. Where an older store of
the same encoder is there, its rows are copied and only what is new is encoded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.build import building, sweep
from cache.fingerprint import Fingerprint
from cache.locks import working
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.decoding.changed import ChangedPictureError
from stages.datasets.pictures import KeyCache
from stages.datasets.records import Records
from stages.encode.older import Older, find_older
from stages.encode.ways import Doers
from stages.paths import DatasetPaths

if TYPE_CHECKING:
    import torch

    from stages.encode.job import EncodingJob


@dataclass(frozen=True)
class Target:
    """What is to be made.

    Args:
        store, partial: where it goes, and the folder for work on it alone.
        lock: who makes it holds this file.
        asked: everything on which its contents depend; the `dtype` may be auto.
        computed: fields of `asked` that decide only what needs no encoder.
        force: the command that makes it again.
        job: what there is to do, of the records in a precision on a device; the last argument is a
            store whose rows are copied where they are wanted.
        recover: completes a finish that was killed half-way.
        forget: files that are of the store that is replaced.
    """

    store: Path
    partial: Path
    lock: Path
    asked: Fingerprint
    computed: frozenset[str]
    force: str
    job: Callable[[Records, torch.device, torch.dtype, FeatureStore | None], EncodingJob]
    recover: Callable[[], None]
    forget: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """A store, finished but for what is `left`; `timings` is empty where nothing was left to do.

    Args:
        reused: as in the store's attributes: what came out of an older store; None if nothing did.
        left: units that other parts are to do; there is no store yet then.
    """

    store: Path
    timings: dict[str, Any]
    reused: dict[str, Any] | None = None
    left: int = 0

    @property
    def did_work(self) -> bool:
        return bool(self.timings)


def make(
    target: Target, paths: DatasetPaths, config: ExtractConfig, force: bool, replace: bool,
    doers: Doers,
) -> Extraction:  # fmt: skip
    """Make the store, find it finished, or update it.

    A process waits for another one that makes the same store.

    Args:
        config: device, precision and threads.
        force: encode everything, whatever is there.
        replace: encode everything where the store at hand cannot be used, instead of raising.
        doers: who does the units. Commands whose doers are shared work on one store at once if
            they have the same settings.

    Raises:
        MelovError: a full disk; others work together with other settings.
        StoreError: a store that can neither be used nor updated lies at the target (all differing
            fields are named), or the one to update is damaged.
    """
    with working(target.lock, "extracts", target.asked.digest if doers.shared else None):
        try:
            return _make(target, paths, config, force, replace, doers)
        except ChangedPictureError:
            # Whatever the file system says of it: prepare reads every picture anew.
            (paths.partial / KeyCache.NAME).unlink(missing_ok=True)
            raise


def _make(
    target: Target, paths: DatasetPaths, config: ExtractConfig, force: bool, replace: bool,
    doers: Doers,
) -> Extraction:  # fmt: skip
    target.recover()
    older = Older(target.asked, None)
    if not force:
        hint = f"to replace it: {target.force}"
        mend = f"to mend it: {paths.repair}\n  {hint}"
        older = find_older(target.store, target.asked, target.computed, replace, hint, mend)
    if replace or not older.is_finished:  # DVC replaces, and only where a byte has changed
        older = older.checked(replace)
    if older.is_finished:
        sweep(target.partial)  # work of other settings, which this store supersedes
        return Extraction(target.store, {})

    # Here and not above: torch takes seconds to import, and a finished store needs none of it.
    from stages.allocator import keep_freed_memory
    from stages.device import DTYPES, resolve_device, resolve_dtype
    from stages.encode.workers.hiring import hired

    begun = time.perf_counter()
    with hired(doers.workers, config) as team:
        asked_dtype = older.asked.fields["dtype"]
        if team is None:
            device = resolve_device(config.device)
            dtype = resolve_dtype(asked_dtype, device)
        else:  # which encode; this process opens the encoder to plan
            device, dtype = resolve_device("cpu"), team.dtype(asked_dtype)
        if device.type == "cpu":
            keep_freed_memory()
        asked = Fingerprint({**older.asked.fields, "dtype": dtype})
        records = Records.load(paths.records, asked.fields["records"])
        job = target.job(records, device, DTYPES[dtype], older.store)
        planned = {"seconds_planning": round(time.perf_counter() - begun, 3)}

        # Reused rows have other last bits, so units of another mixture must not get in.
        name = asked.digest
        if older.store is not None:
            name += f"-{older.store.identity}"
        made = Extraction(target.store, {})  # by another process, unless this one finishes it
        with building(target.store, target.partial, name, asked, job.specs) as build:
            timings = planned | job.run(build, config.decode_threads, doers.part, team)
            if team is not None:
                team.close()  # nobody may still write to a store that is finished
            if doers.part is not None and (left := job.left(build)):
                return Extraction(target.store, timings, left=left)
            for file in target.forget:  # a kill must not keep them beside the new store
                file.unlink(missing_ok=True)
            attributes = job.finish(build)
            made = Extraction(target.store, timings, attributes["reused"])
    del job, older  # which hold the older store open
    sweep(target.partial)
    return made
