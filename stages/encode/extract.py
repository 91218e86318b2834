"""Extraction: frozen encoders run once over every distinct text and picture.

Works in a folder of `data/<dataset>/.partial/`, which DVC does not know, and renames the finished
store into place. A rerun goes on where a kill left it. Where an older store of the same encoder is
there, its rows are copied and only new texts and pictures are encoded.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.build import building, recover, sweep
from stages.allocator import keep_freed_memory
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device, resolve_dtype
from stages.encode.encoders.encoder import find_checkpoints, open_encoder
from stages.encode.job import Job
from stages.encode.older import Older, find_older
from stages.encode.plan import fingerprint_of, plan_pictures, plan_texts, texts_of
from stages.encode.reuse import Reuse
from stages.encode.tokens import Tokenizer
from stages.paths import DatasetPaths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """A finished store; `timings` is empty where nothing was left to do.

    Parameters
    ----------
    reused: as in the store's attributes: what came out of an older store; None if nothing did.
    """

    store: Path
    timings: dict[str, Any]
    reused: dict[str, Any] | None = None

    @property
    def did_work(self) -> bool:
        return bool(self.timings)


def extract(
    paths: DatasetPaths, config: ExtractConfig, force: bool = False, replace: bool = False
) -> Extraction:
    """Make the feature store of a prepared data set, find it finished, or update it.

    A finished store of the same encoder and settings is updated where only the records differ:
    texts and pictures that it has are copied, the others encoded.

    Parameters
    ----------
    force: encode everything, whatever is there.
    replace: encode everything where the store at hand cannot be used, instead of raising.

    Raises
    ------
    MelovError: no records, no such encoder, a full disk.
    StoreError: a store that can neither be used nor updated lies at the target (all differing
        fields are named), or the one to update is damaged.
    """
    recover(paths.partial, paths.store)
    digest = read_digest(paths.require_records())
    checkpoints = find_checkpoints(config, paths.root)
    device = resolve_device(config.device)
    asked = fingerprint_of(digest, checkpoints, config, resolve_dtype(config.dtype, device))
    older = Older(asked, None)
    if not force:
        older = find_older(paths, asked, config.dtype == "auto", replace)
        if older.is_finished and replace:
            older = older.checked(replace)  # by DVC, which runs it where a byte has changed
        if older.is_finished:
            sweep(paths.partial)  # work of other settings, which this store supersedes
            return Extraction(paths.store, {})
        older = older.checked(replace)

    begun = time.perf_counter()
    records = Records.load(paths.records)
    tokenizer = Tokenizer(checkpoints.text, config.max_tokens)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    pictures = plan_pictures(records, encode=checkpoints.image is not None)
    reuse = None
    if older.store is not None:
        reuse = Reuse.find(older.store, texts.keys, pictures.key_rows)
        log.info(
            "updating %s: it has %d of %d texts and %d of %d pictures",
            paths.store, reuse.count("texts"), len(texts.ids),
            reuse.count("images"), len(pictures.paths),
        )  # fmt: skip
    if device.type == "cpu":
        keep_freed_memory()
    dtype = DTYPES[older.asked.fields["dtype"]]
    encoder = open_encoder(checkpoints, config, device, dtype)
    job = Job(config, records, paths.root, texts, pictures, encoder, tokenizer.pad, reuse)
    planned = time.perf_counter() - begun

    # Batch sizes and reused rows change rounding, so units of another mixture must not get in.
    name = f"{older.asked.digest}-{config.batch_texts}-{config.batch_images}"
    if older.store is not None:
        name += f"-{older.store.identity}"
    timings: dict[str, Any] = {}  # stays empty where another process finishes the store
    with building(paths.store, paths.partial, name, older.asked, job.specs()) as build:
        timings = {"seconds_planning": round(planned, 3), **job.run(build)}
        # They describe the store that is replaced now; a kill before the new ones must not keep
        # them.
        for stale in ("summary.json", "failed_pictures.csv", "timings.json"):
            (paths.extract / stale).unlink(missing_ok=True)
        build.finish(job.unit_names(), job.attributes(checkpoints, build))
    return Extraction(paths.store, timings, job.reused())
