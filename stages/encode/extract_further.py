"""Makes the store of a further encoder (`further.py`)."""

from cache.build import recover
from stages.config import ExtractConfig
from stages.datasets.records import read_digest
from stages.encode.further import find_further, further_fingerprint
from stages.encode.making import Extraction, Target, make
from stages.encode.ways import ALONE, Doers
from stages.lazy import lazily
from stages.paths import DatasetPaths

further_job = lazily("stages.encode.further_job:further_job")
"""It imports torch."""


def extract_further(
    paths: DatasetPaths,
    config: ExtractConfig,
    name: str,
    force: bool = False,
    replace: bool = False,
    doers: Doers = ALONE,
) -> Extraction:
    """Make the store of one further encoder, find it finished, or update it.

    Args:
        name: of `text_encoders` or `image_encoders`.
        force, replace, doers: as of `making.make`.

    Raises:
        MelovError: no records, no such encoder; what `making.make` raises.
    """
    digest = read_digest(paths.require_records())
    checkpoint = find_further(config, name, paths.root)
    store, work = paths.further_store(name), paths.further_partial(name)
    target = Target(
        store=store,
        partial=work,
        lock=paths.lock(f"further-{name}"),
        asked=further_fingerprint(digest, checkpoint, config, name, config.dtype),
        computed=frozenset({"records"}),
        force=f"python -m pipeline.extract --dataset {paths.dataset} --force",
        job=lambda records, device, dtype, older: further_job(
            paths, records, config, name, checkpoint, device, dtype, older
        ),
        recover=lambda: recover(work, store),
    )
    return make(target, paths, config, force, replace, doers)
