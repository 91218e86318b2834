"""Makes the store of a further encoder (`further.py`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cache.build import recover
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.encode.encoders.checkpoint import Checkpoint
from stages.encode.further import find_further, further_fingerprint
from stages.encode.making import Extraction, Target, make
from stages.paths import DatasetPaths

if TYPE_CHECKING:
    import torch

    from stages.encode.job import EncodingJob


def extract_further(
    paths: DatasetPaths,
    config: ExtractConfig,
    name: str,
    force: bool = False,
    replace: bool = False,
    together: bool = False,
) -> Extraction:
    """Make the store of one further encoder, find it finished, or update it.

    Args:
        name: of `text_encoders` or `image_encoders`.
        force, replace, together: as of `making.make`.

    Raises:
        MelovError: no records, no such encoder; what `making.make` raises.
    """
    digest = read_digest(paths.require_records())
    checkpoint = find_further(config, name, paths)
    store, work = paths.further_store(name), paths.further_partial(name)
    target = Target(
        store=store,
        partial=work,
        lock=paths.lock(f"further-{name}"),
        asked=further_fingerprint(digest, checkpoint, config, name, config.dtype),
        computed=frozenset({"records"}),
        force=f"python -m pipeline.extract --dataset {paths.dataset} --force",
        job=partial(_job, paths, config, name, checkpoint),
        recover=lambda: recover(work, store),
    )
    return make(target, paths, config, force, replace, together)


def _job(
    paths: DatasetPaths, config: ExtractConfig, name: str, checkpoint: Checkpoint,
    records: Records, device: torch.device, dtype: torch.dtype, older: FeatureStore | None,
) -> EncodingJob:  # fmt: skip
    from stages.encode.further_job import further_job  # it imports torch

    return further_job(paths, records, config, name, checkpoint, device, dtype, older)
