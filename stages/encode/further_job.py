"""The job of a further encoder's store: distinct texts or distinct pictures, global features."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.encode.arrays import by_unit, image_arrays
from stages.encode.encoders.bert_vit import VitImages
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.encoder import Encoder, TextEncoder
from stages.encode.encoders.families import Checkpoints, open_encoder
from stages.encode.encoders.probe import look, probing_squares
from stages.encode.feature_job import picture_work
from stages.encode.features import encode_texts
from stages.encode.fingerprint import require_told
from stages.encode.further import find_further, further_encoders, of_further
from stages.encode.job import EncodingJob
from stages.encode.plan import PicturePlan, TextPlan, plan_pictures, plan_texts, said_of, texts_of
from stages.encode.reuse import Reuse
from stages.encode.schedule import Work, every_row
from stages.encode.tokens import Tokenizer, alone
from stages.encode.units import Encoded, WorkUnit, units_of
from stages.further import SENTENCE
from stages.paths import DatasetPaths

NO_KEYS = np.zeros((0, 16), np.uint8)


def further_job(
    paths: DatasetPaths, records: Records, config: ExtractConfig, name: str,
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, older: FeatureStore | None,
) -> EncodingJob:  # fmt: skip
    """Plan the work of one further encoder on a prepared data set, and open it.

    Args:
        older: a store of the same encoder and settings, whose rows are copied where they are
            wanted.

    Raises:
        CheckpointError: the encoder or its tokenizer cannot be loaded.
    """
    named = further_encoders(config)[name]
    about = {"dataset": records.dataset, "further": name, "encoder": checkpoint.name}
    if named.revision is not None:
        about["revision"] = named.revision
    try:
        if name in config.text_encoders:
            job = _texts(paths, records, config, name, checkpoint, device, dtype, older)
        else:
            job = _pictures(paths, records, config, name, checkpoint, device, dtype, older)
    except CheckpointError as error:
        raise of_further(error, config, name) from None
    return replace(job, attributes=about | dict(job.attributes))


def open_texts(
    checkpoint: Checkpoint, config: ExtractConfig, name: str, device: torch.device,
    dtype: torch.dtype,
) -> tuple[Encoder, Tokenizer]:  # fmt: skip
    """A further encoder of texts, and its tokenizer.

    Raises:
        CheckpointError: see `open_encoder`.
    """
    own = config.model_copy(update={"text_pooling": config.text_encoders[name].pooling})
    tokenizer = Tokenizer(checkpoint, config.max_tokens)
    return open_encoder(Checkpoints(checkpoint, None), own, device, dtype, tokenizer), tokenizer


def open_pictures(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> VitImages:
    """A further encoder of pictures.

    Raises:
        CheckpointError: it cannot be loaded, or gives what cannot be features.
    """
    encoder = VitImages(checkpoint, device, dtype)
    squares, shapes = probing_squares(encoder.pixels.size, device), encoder.shapes
    look(
        f"{checkpoint.name}: a picture of {encoder.pixels.size} pixels",
        lambda: encoder.encode_images(squares),
        [(2, shapes.d_image), (2, shapes.n_p, shapes.d_patch)],
    )
    return encoder


def _texts(
    paths: DatasetPaths, records: Records, config: ExtractConfig, name: str, checkpoint: Checkpoint,
    device: torch.device, dtype: torch.dtype, older: FeatureStore | None,
) -> EncodingJob:  # fmt: skip
    encoder, tokenizer = open_texts(checkpoint, config, name, device, dtype)
    columns = {f"{group}/text": texts for group, texts in texts_of(records).items()}
    columns |= {
        f"{group}/{SENTENCE}": [alone(*said) for said in zip(*of, strict=True)]
        for group, of in said_of(records).items()
        if group != "entities"
    }
    plan = plan_texts(columns, tokenizer, config.max_tokens)
    reuse = None if older is None else Reuse.find(older, plan.keys, NO_KEYS)
    return EncodingJob(
        encoded=[by_unit("texts/global", (len(plan.ids), encoder.shapes.d_t), config.batch_texts)],
        arrays={"texts/keys": plan.keys, **plan.rows},
        works={"texts": _text_work(config, encoder, plan, tokenizer.pad, reuse)},
        opened=partial(
            _texts_elsewhere, config, name, paths.root.absolute(), dtype, plan, tokenizer.pad, reuse
        ),
        covers=lambda unit: {"texts/global": (unit.lo, unit.hi)},
        columns=lambda _: {},
        pictures=[],
        attributes={
            "reads": "texts",
            "width": encoder.shapes.d_t,
            "max_tokens": config.max_tokens,
            "texts_at_max_tokens": plan.cut,
            "reused": _reused(older, reuse, "texts"),
        },
    )


def _texts_elsewhere(
    config: ExtractConfig, name: str, root: Path, dtype: torch.dtype, plan: TextPlan, pad: int,
    reuse: Reuse | None, device: torch.device, fingerprint: Fingerprint,
) -> dict[str, Work[Any]]:  # fmt: skip
    """The work in another process: `EncodingJob.opened`, but for the last two."""
    checkpoint = find_further(config, name, root)
    require_told(fingerprint, text_encoder=checkpoint)
    encoder, _ = open_texts(checkpoint, config, name, device, dtype)
    return {"texts": _text_work(config, encoder, plan, pad, reuse)}


def _text_work(
    config: ExtractConfig, encoder: TextEncoder, plan: TextPlan, pad: int, reuse: Reuse | None
) -> Work[Any]:
    rows, lengths = every_row if reuse is None else reuse.fresh, plan.lengths

    def encode(unit: WorkUnit, _: Any) -> Encoded:
        ids = [plan.ids[row] for row in rows(unit)]
        pooled, _tokens = encode_texts(encoder, ids, config.batch_texts, pad)
        if reuse is not None:
            pooled = reuse.dense(unit, "texts/global", pooled)
        return Encoded([("texts/global", unit.lo, pooled)])

    def tokens_of(unit: WorkUnit) -> int:
        return sum(lengths[unit.lo : unit.hi])

    units = units_of("texts", len(plan.ids), config.batch_texts)
    return Work(units, encode, "tokens", size=tokens_of, rows=rows)


def _pictures(
    paths: DatasetPaths, records: Records, config: ExtractConfig, name: str,
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, older: FeatureStore | None,
) -> EncodingJob:  # fmt: skip
    encoder, plan = open_pictures(checkpoint, device, dtype), plan_pictures(records, encode=True)
    reuse = None if older is None else Reuse.find(older, NO_KEYS, plan.key_rows)
    root: Path = records.image_folder(paths.root)
    shape = (len(plan.paths), encoder.shapes.d_image)
    return EncodingJob(
        encoded=[by_unit("images/global", shape, config.batch_images)],
        arrays={"images/keys": plan.key_rows},
        works={"pictures": picture_work(config, encoder, plan, root, reuse, local=False)},
        opened=partial(
            _pictures_elsewhere,
            config,
            name,
            paths.root.absolute(),
            dtype,
            plan,
            root.absolute(),
            reuse,
        ),
        covers=lambda unit: {"images/global": (unit.lo, unit.hi)},
        columns=lambda failed: image_arrays(plan, encoder, failed),
        pictures=plan.paths,
        attributes={
            "reads": "pictures",
            "width": encoder.shapes.d_image,
            "reused": _reused(older, reuse, "pictures"),
        },
    )


def _pictures_elsewhere(
    config: ExtractConfig, name: str, root: Path, dtype: torch.dtype, plan: PicturePlan,
    pictures: Path, reuse: Reuse | None, device: torch.device, fingerprint: Fingerprint,
) -> dict[str, Work[Any]]:  # fmt: skip
    """As `_texts_elsewhere`; `pictures` is the folder of their files."""
    checkpoint = find_further(config, name, root)
    require_told(fingerprint, image_encoder=checkpoint)
    encoder = open_pictures(checkpoint, device, dtype)
    return {"pictures": picture_work(config, encoder, plan, pictures, reuse, local=False)}


def _reused(older: FeatureStore | None, reuse: Reuse | None, kind: str) -> dict[str, Any] | None:
    if older is None or reuse is None:
        return None
    return {"fingerprint": older.fingerprint.digest, kind: reuse.count(kind)}
