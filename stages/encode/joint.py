"""The joint store: vectors of text and picture together, by an encoder that reads both at once.

It has the layout of a store without pictures. Its "texts" are the distinct pairs of a text and a
picture: `texts/global` holds a pair's joint vector, `<group>/text` each record's pair, and there
are no tokens. So whatever reads a text encoder's global features reads these.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch

from cache.build import building, recover, sweep
from cache.fingerprint import Fingerprint
from cache.locks import working
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device, resolve_dtype
from stages.encode.arrays import text_specs
from stages.encode.decode import Loaded, decode_picture, read_picture
from stages.encode.encoders.checkpoint import Checkpoint, find_checkpoint
from stages.encode.encoders.encoder import Shapes
from stages.encode.encoders.vilt import ViltEncoder, open_vilt, require_vilt
from stages.encode.features import encode_pairs
from stages.encode.job import EncodingJob
from stages.encode.plan import PicturePlan, TextPlan, plan_pictures, plan_texts, texts_of
from stages.encode.schedule import Work
from stages.encode.tokens import Tokenizer
from stages.encode.units import Encoded, TokenPlaces, WorkUnit, units_of
from stages.paths import DatasetPaths

JOINT_VERSION = 3
"""Raise it with any change of code that moves a joint vector."""


@dataclass(frozen=True)
class PairPlan:
    """Distinct pairs, sorted by text (and so by length), then by picture.

    Args:
        text, picture: rows of the text plan and of the picture plan, shape: (pairs,); picture is -1
            where there is none.
        rows: group -> int32 (records,), each record's pair.
    """

    texts: TextPlan
    pictures: PicturePlan
    text: np.ndarray
    picture: np.ndarray
    rows: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.text)


def plan_pairs(texts: TextPlan, pictures: PicturePlan) -> PairPlan:
    wide = len(pictures.paths) + 1
    codes = [texts.rows[g].astype(np.int64) * wide + pictures.rows[g] + 1 for g in texts.rows]
    distinct, pair = np.unique(np.concatenate(codes), return_inverse=True)
    parts = np.split(pair.astype(np.int32), np.cumsum([len(code) for code in codes])[:-1])
    rows = dict(zip(texts.rows, parts, strict=True))
    return PairPlan(texts, pictures, distinct // wide, distinct % wide - 1, rows)


def pair_work(
    config: ExtractConfig, encoder: ViltEncoder, plan: PairPlan, root: Path, pad: int
) -> Work[Any]:
    """Distinct pairs, the pictures' files below `root`; a unit's note has the row of each picture
    that did not decode, with the reason."""

    def read(pair: int) -> bytes | Loaded | None:
        row, pictures = int(plan.picture[pair]), plan.pictures
        return None if row < 0 else read_picture(root, pictures.paths[row], pictures.keys[row])

    def decode(data: bytes | Loaded | None) -> Loaded | None:
        return (
            None
            if data is None
            else decode_picture(data, encoder.pixels, config.resize, config.exif)
        )

    def encode(unit: WorkUnit, loaded: Sequence[Loaded | None]) -> Encoded:
        ids = [plan.texts.ids[row] for row in plan.text[unit.lo : unit.hi]]
        joint, reasons = encode_pairs(encoder, ids, loaded, config.batch_images, pad)
        rows = plan.picture[unit.lo : unit.hi].tolist()
        failed = zip(rows, reasons, strict=True)
        note = [[row, reason] for row, reason in failed if reason is not None]
        return Encoded([("texts/global", unit.lo, joint)], note)

    def weight(pair: int) -> int:
        row = int(plan.picture[pair])
        return 0 if row < 0 else plan.pictures.sizes[row]

    units = units_of("pairs", len(plan), config.batch_images)
    ahead = encoder.device.type != "cpu"
    return Work(units, encode, "pairs", read=read, weight=weight, decode=decode, ahead=ahead)


def extract_joint(
    paths: DatasetPaths, config: ExtractConfig, encoder: str, replace: bool = False
) -> tuple[FeatureStore, bool]:
    """Make the joint store of a prepared data set, or find it finished; True if it was made.

    Args:
        config: `max_tokens`, `resize`, `dtype`, `device`, `batch_images` (pairs of a batch) and
            `decode_threads` count; the separate encoders' names do not.
        encoder: a hub name or a local folder of a ViLT.
        replace: rebuild it where the one at hand was made by other means.

    Raises:
        MelovError: no records, no such encoder, a full disk.
        StoreError: another joint store lies there (all differing fields are named).
    """
    paths.require_records()  # before a lock makes the data set's folder
    with working(paths.lock("joint"), "encodes pairs"):
        return _extract_joint(paths, config, encoder, replace)


def _extract_joint(
    paths: DatasetPaths, config: ExtractConfig, encoder: str, replace: bool
) -> tuple[FeatureStore, bool]:
    recover(paths.joint_partial, paths.joint)
    digest = read_digest(paths.require_records())
    checkpoint = find_checkpoint(encoder, root=paths.root)
    require_vilt(checkpoint)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    asked = joint_fingerprint(digest, checkpoint, config, dtype)
    if paths.joint.exists() and not replace:
        named = f"--dataset {paths.dataset} --encoder {quote(encoder)}"
        hint = f"python -m pipeline.joint {named} --replace"
        store = FeatureStore.open(paths.joint, hint=f"to mend it: {paths.repair}\n  or {hint}")
        store.require_files()
        store.fingerprint.require_equal(asked, paths.joint, f"to rebuild it: {hint}")
        sweep(paths.joint_partial)
        return store, False
    records = Records.load(paths.records, digest)
    job = joint_job(paths, records, config, checkpoint, device, DTYPES[dtype])
    made = False
    with building(paths.joint, paths.joint_partial, asked.digest, asked, job.specs) as build:
        job.run(build, config.decode_threads)
        job.finish(build)
        made = True
    return FeatureStore.open(paths.joint), made


def joint_fingerprint(
    records: str, checkpoint: Checkpoint, config: ExtractConfig, dtype: str
) -> Fingerprint:
    return Fingerprint(
        {
            "records": records,
            "joint_encoder": checkpoint.identity(),
            "max_tokens": config.max_tokens,
            "resize": config.resize,
            "exif": config.exif,
            "dtype": dtype,
            "batch_images": config.batch_images,
            "joint_version": JOINT_VERSION,
        }
    )


def joint_job(
    paths: DatasetPaths,
    records: Records,
    config: ExtractConfig,
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
) -> EncodingJob:
    """Plan the pairs of a prepared data set and open their encoder.

    Raises:
        MelovError: the encoder or its tokenizer cannot be loaded.
    """
    tokenizer = Tokenizer(checkpoint, config.max_tokens)
    encoder = open_vilt(checkpoint, tokenizer, device, dtype)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    plan = plan_pairs(texts, plan_pictures(records, encode=True, fall_back=False))
    shapes = Shapes(d_t=encoder.d, d_local=encoder.d, d_image=0, d_patch=0, n_p=0)
    return EncodingJob(
        encoded=text_specs(shapes, len(plan), TokenPlaces.of((), (), 1), config.batch_images),
        arrays={
            "texts/offsets": np.zeros(len(plan) + 1, np.int64),
            **{f"{group}/text": rows for group, rows in plan.rows.items()},
        },
        works={
            "pairs": pair_work(
                config, encoder, plan, records.image_folder(paths.root), tokenizer.pad
            )
        },
        covers=lambda unit: {"texts/global": (unit.lo, unit.hi)},
        columns=lambda _: {
            f"{group}/image": np.full(len(rows), -1, np.int32) for group, rows in plan.rows.items()
        },
        pictures=plan.pictures.paths,
        attributes={
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
        },
    )
