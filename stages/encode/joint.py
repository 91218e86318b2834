"""The joint store: vectors of text and picture together, by an encoder that reads both at once.

It has the layout of a store without pictures. Its "texts" are the distinct pairs of a text and a
picture: `texts/global` holds a pair's joint vector, `<group>/text` each record's pair, and there
are no tokens. So whatever reads a text encoder's global features reads these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cache.build import building, recover, sweep
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device, resolve_dtype
from stages.encode.arrays import text_specs
from stages.encode.encoders.checkpoint import Checkpoint, find_checkpoint
from stages.encode.encoders.encoder import Shapes
from stages.encode.encoders.vilt import ViltEncoder, require_vilt
from stages.encode.job import EncodingJob
from stages.encode.pairs import PairWork, plan_pairs
from stages.encode.plan import plan_pictures, plan_texts, texts_of
from stages.encode.tokens import Tokenizer
from stages.encode.units import TokenPlaces
from stages.paths import DatasetPaths

JOINT_VERSION = 2
"""Raise it with any change of code that moves a joint vector."""


def extract_joint(
    paths: DatasetPaths, config: ExtractConfig, encoder: str, replace: bool = False
) -> tuple[FeatureStore, bool]:
    """Make the joint store of a prepared data set, or find it finished; True if it was made.

    Parameters
    ----------
    config: `max_tokens`, `resize`, `dtype`, `device`, `batch_images` (pairs of a batch) and
        `decode_threads` count; the separate encoders' names do not.
    encoder: a hub name or a local folder of a ViLT.
    replace: rebuild it where the one at hand was made by other means.

    Raises
    ------
    MelovError: no records, no such encoder, a full disk.
    StoreError: another joint store lies there (all differing fields are named).
    """
    recover(paths.joint_partial, paths.joint)
    digest = read_digest(paths.require_records())
    checkpoint = find_checkpoint(encoder, root=paths.root)
    require_vilt(checkpoint)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    asked = _fingerprint(digest, checkpoint, config, dtype)
    if paths.joint.exists() and not replace:
        hint = f"python -m pipeline.joint --dataset {paths.dataset} --encoder {encoder} --replace"
        store = FeatureStore.open(paths.joint, hint=hint)
        store.fingerprint.require_equal(asked, paths.joint, f"to rebuild it: {hint}")
        sweep(paths.joint_partial)
        return store, False
    job = _joint_job(paths, config, checkpoint, ViltEncoder(checkpoint, device, DTYPES[dtype]))
    name, made = f"{asked.digest}-{config.batch_images}", False
    with building(paths.joint, paths.joint_partial, name, asked, job.specs) as build:
        job.run(build, config.decode_threads)
        job.finish(build)
        made = True
    return FeatureStore.open(paths.joint), made


def _fingerprint(
    records: str, checkpoint: Checkpoint, config: ExtractConfig, dtype: str
) -> Fingerprint:
    return Fingerprint(
        {
            "records": records,
            "joint_encoder": checkpoint.identity(),
            "max_tokens": config.max_tokens,
            "resize": config.resize,
            "dtype": dtype,
            "joint_version": JOINT_VERSION,
        }
    )


def _joint_job(
    paths: DatasetPaths, config: ExtractConfig, checkpoint: Checkpoint, encoder: ViltEncoder
) -> EncodingJob:
    records = Records.load(paths.records)
    tokenizer = Tokenizer(checkpoint, config.max_tokens)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    plan = plan_pairs(texts, plan_pictures(records, encode=True))
    shapes = Shapes(d_t=encoder.d, d_local=encoder.d, d_image=0, d_patch=0, n_p=0)

    def attributes(failed: Mapping[int, str]) -> dict[str, Any]:
        return {
            "dataset": records.dataset,
            "joint_encoder": checkpoint.name,
            "text_encoder": checkpoint.name,
            "image_encoder": None,
            "shapes": asdict(shapes),
            "max_tokens": config.max_tokens,
            "texts_at_max_tokens": texts.cut,
            "without_picture": {
                group: int((plan.picture[rows] < 0).sum()) for group, rows in plan.rows.items()
            },
            "failed_pictures": {plan.pictures.paths[row]: failed[row] for row in sorted(failed)},
        }

    return EncodingJob(
        encoded=text_specs(shapes, len(plan), TokenPlaces.of((), (), 1), config.batch_images),
        arrays={
            "texts/offsets": np.zeros(len(plan) + 1, np.int64),
            **{f"{group}/text": rows for group, rows in plan.rows.items()},
        },
        works={
            "pairs": PairWork(
                config, encoder, plan, records.image_folder(paths.root), tokenizer.pad
            ).work()
        },
        columns=lambda _: {
            f"{group}/image": np.full(len(rows), -1, np.int32) for group, rows in plan.rows.items()
        },
        attributes=attributes,
    )
