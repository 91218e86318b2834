"""Extraction: frozen encoders run once over every distinct text and picture (`making.py`)."""

from stages.config import ExtractConfig
from stages.datasets.records import read_digest
from stages.datasets.store import recover_store
from stages.encode.encoders.families import find_checkpoints
from stages.encode.fingerprint import computed_fields, fingerprint_of
from stages.encode.making import Extraction as Extraction
from stages.encode.making import Target, make
from stages.encode.ways import ALONE, Doers
from stages.lazy import lazily
from stages.paths import DatasetPaths

feature_job = lazily("stages.encode.feature_job:feature_job")
"""It imports torch."""


def extract(
    paths: DatasetPaths,
    config: ExtractConfig,
    force: bool = False,
    replace: bool = False,
    doers: Doers = ALONE,
) -> Extraction:
    """Make the feature store of a prepared data set, find it finished, or update it.

    A finished store of the same encoder and settings is updated where only the records differ:
    texts and pictures that it has are copied, the others encoded.

    Args:
        force, replace, doers: as of `making.make`.

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
        job=lambda records, device, dtype, older: feature_job(
            paths, records, config, checkpoints, device, dtype, older
        ),
        recover=lambda: recover_store(paths),
        forget=(paths.extract / "timings.json",),
    )
    return make(target, paths, config, force, replace, doers)
