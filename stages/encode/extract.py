"""Extraction: frozen encoders run once over every distinct text and picture (`making.py`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.datasets.store import recover_store
from stages.encode.encoders.families import Checkpoints, find_checkpoints
from stages.encode.fingerprint import computed_fields, fingerprint_of
from stages.encode.making import Extraction as Extraction
from stages.encode.making import Target, make
from stages.paths import DatasetPaths

if TYPE_CHECKING:
    import torch

    from stages.encode.job import EncodingJob


def extract(
    paths: DatasetPaths,
    config: ExtractConfig,
    force: bool = False,
    replace: bool = False,
    together: bool = False,
) -> Extraction:
    """Make the feature store of a prepared data set, find it finished, or update it.

    A finished store of the same encoder and settings is updated where only the records differ:
    texts and pictures that it has are copied, the others encoded.

    Args:
        force, replace, together: as of `making.make`.

    Raises:
        MelovError: no records, no such encoder; what `making.make` raises.
    """
    digest = read_digest(paths.require_records())
    checkpoints = find_checkpoints(config, paths.root)
    target = Target(
        store=paths.store,
        partial=paths.partial,
        lock=paths.lock("store"),
        asked=fingerprint_of(digest, checkpoints, config, config.dtype),
        computed=frozenset(computed_fields(ExtractConfig())),
        force=f"python -m pipeline.extract --dataset {paths.dataset} --force",
        job=partial(_job, paths, config, checkpoints),
        recover=lambda: recover_store(paths),
        forget=(paths.extract / "timings.json",),
    )
    return make(target, paths, config, force, replace, together)


def _job(
    paths: DatasetPaths, config: ExtractConfig, checkpoints: Checkpoints, records: Records,
    device: torch.device, dtype: torch.dtype, older: FeatureStore | None,
) -> EncodingJob:  # fmt: skip
    from stages.encode.feature_job import feature_job  # it imports torch

    return feature_job(paths, records, config, checkpoints, device, dtype, older)
