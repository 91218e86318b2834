"""The joint store: vectors of text and picture together, by an encoder that reads both at once.

It has the layout of a store without pictures. Its "texts" are the distinct pairs of a text and a
picture: `texts/global` holds a pair's joint vector, `<group>/text` each record's pair, and there
are no tokens. So whatever reads a text encoder's global features reads these.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.build import Build, building, recover, sweep
from cache.errors import MelovError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device, resolve_dtype
from stages.encode.decode import normalised, quiet_pillow
from stages.encode.encoders.checkpoint import Checkpoint, find_checkpoint
from stages.encode.encoders.encoder import pad_ids
from stages.encode.encoders.vilt import ViltEncoder, require_vilt
from stages.encode.layout import specs_of
from stages.encode.plan import GROUPS, PicturePlan, TextPlan, plan_pictures, plan_texts, texts_of
from stages.encode.schedule import Work, run_units
from stages.encode.tokens import Tokenizer
from stages.encode.units import Encoded, Loaded, Unit, decode_picture, read_picture, units_of
from stages.paths import DatasetPaths
from stages.progress import progress

log = logging.getLogger(__name__)

JOINT_VERSION = 2
"""Raise it with any change of code that moves a joint vector."""


@dataclass(frozen=True)
class PairPlan:
    """Distinct pairs, sorted by text (and so by length), then by picture.

    Parameters
    ----------
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
    codes = [texts.rows[g].astype(np.int64) * wide + pictures.rows[g] + 1 for g in GROUPS]
    distinct, pair = np.unique(np.concatenate(codes), return_inverse=True)
    parts = np.split(pair.astype(np.int32), np.cumsum([len(code) for code in codes])[:-1])
    rows = dict(zip(GROUPS, parts, strict=True))
    return PairPlan(texts, pictures, distinct // wide, distinct % wide - 1, rows)


def extract_joint(
    paths: DatasetPaths, config: ExtractConfig, encoder: str, replace: bool = False
) -> tuple[FeatureStore, bool]:
    """Make the joint store of a prepared data set, or find it finished; True if it was made.

    Parameters
    ----------
    config: `max_tokens`, `resize`, `dtype`, `device`, `batch_images` (pairs of a batch) and
        `decode_threads` count; the separate encoders' names do not.
    encoder: a hub name or a local folder of a ViLT.
    replace: make it anew where the one at hand was made by other means.

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
        store.fingerprint.require_equal(asked, paths.joint, f"to make it anew: {hint}")
        sweep(paths.joint_partial)
        return store, False
    records = Records.load(paths.records)
    tokenizer = Tokenizer(checkpoint, config.max_tokens)
    texts = plan_texts(texts_of(records), tokenizer, config.max_tokens)
    plan = plan_pairs(texts, plan_pictures(records, encode=True))
    model = ViltEncoder(checkpoint, device, DTYPES[dtype])
    job = _Job(config, records.image_folder(paths.root), plan, model, tokenizer.pad)
    name = f"{asked.digest}-{config.batch_images}"
    with building(paths.joint, paths.joint_partial, name, asked, job.specs()) as build:
        job.run(build)
        build.finish(job.unit_names(), job.attributes(records, checkpoint, build))
    return FeatureStore.open(paths.joint), True


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


class _Job:
    """Encodes the pairs unit by unit, as `Job` does texts and pictures."""

    def __init__(
        self, config: ExtractConfig, root: Path, plan: PairPlan, encoder: ViltEncoder, pad: int
    ) -> None:
        self.config, self.root, self.plan, self.encoder, self.pad = config, root, plan, encoder, pad
        self.units = units_of("joint", len(plan), config.batch_images)
        self.unit_rows = max((unit.rows for unit in self.units), default=1)
        self.arrays: dict[str, np.ndarray] = {"texts/offsets": np.zeros(len(plan) + 1, np.int64)}
        for group, rows in plan.rows.items():
            self.arrays[f"{group}/text"] = rows
            self.arrays[f"{group}/image"] = np.full(len(rows), -1, np.int32)

    def specs(self) -> list[ArraySpec]:
        return [
            ArraySpec("texts/global", (len(self.plan), self.encoder.d), "float16", self.unit_rows),
            ArraySpec("texts/local", (0, self.encoder.d), "float16"),
            *specs_of(self.arrays),
        ]

    def unit_names(self) -> list[str]:
        return [*(unit.name for unit in self.units), "records"]

    def run(self, build: Build) -> None:
        if not build.done("records"):
            build.write("records", [(name, 0, a) for name, a in self.arrays.items()])
        left = [unit for unit in self.units if not build.done(unit.name)]
        if len(left) < len(self.units):
            log.info("resuming: %d units are finished already", len(self.units) - len(left))

        def write(unit: Unit, encoded: Encoded) -> None:
            build.write(unit.name, encoded.parts, encoded.note)

        work = Work(
            self._read,
            self._decode,
            self._encode,
            write,
            size=lambda unit: unit.rows,
            beside=self.encoder.device.type != "cpu",
        )
        with quiet_pillow(), progress(sum(u.rows for u in left), "pairs", "encode pairs") as bar:
            run_units(work, left, self.config.decode_threads, bar)

    def _read(self, pair: int) -> bytes | None:
        """The pair's picture, None where it has none."""
        row = int(self.plan.picture[pair])
        if row < 0:
            return None
        pictures = self.plan.pictures
        return read_picture(self.root, pictures.paths[row], pictures.keys[row])

    def _decode(self, data: bytes | None) -> Loaded | None:
        if data is None:
            return None
        return decode_picture(data, self.encoder.pixels, self.config.resize)

    def _encode(self, unit: Unit, loaded: Sequence[Loaded | None]) -> Encoded:
        found, failed = [], []
        for lo in range(unit.lo, unit.hi, self.config.batch_images):
            hi = min(lo + self.config.batch_images, unit.hi)
            part = loaded[lo - unit.lo : hi - unit.lo]
            failed += [
                [int(self.plan.picture[lo + i]), one.reason]
                for i, one in enumerate(part)
                if one is not None and one.pixels is None
            ]
            ids, mask = pad_ids(
                [self.plan.texts.ids[row] for row in self.plan.text[lo:hi]],
                self.pad,
                self.encoder.device,
            )
            joint = self.encoder.encode_pairs(ids, mask, self._pixels(part))
            found.append(joint.to(torch.float16).cpu().numpy())
        values = np.concatenate(found)
        if not np.isfinite(values).all():
            bad = unit.lo + int(np.argwhere(~np.isfinite(values))[0][0])
            raise MelovError(
                f"texts/global: pair {bad} is not finite in float16",
                "the encoder overflows: --set extract.dtype=float32, or another checkpoint",
            )
        return Encoded([("texts/global", unit.lo, values)], failed)

    def _pixels(self, part: Sequence[Loaded | None]) -> torch.Tensor:
        """Normalised squares, all zero (the mean colour) where there is no picture."""
        pixels = self.encoder.pixels
        squares = torch.zeros(len(part), 3, pixels.size, pixels.size, device=self.encoder.device)
        there = {i: x.pixels for i, x in enumerate(part) if x is not None and x.pixels is not None}
        if there:
            stacked = np.stack(list(there.values()))
            squares[list(there)] = normalised(stacked, pixels, self.encoder.device).to(squares)
        return squares

    def attributes(self, records: Records, checkpoint: Checkpoint, build: Build) -> dict[str, Any]:
        failed = {int(row): why for u in self.units for row, why in build.note(u.name) or []}
        paths = self.plan.pictures.paths
        return {
            "dataset": records.dataset,
            "joint_encoder": checkpoint.name,
            "text_encoder": checkpoint.name,
            "image_encoder": None,
            "shapes": {
                "d_t": self.encoder.d, "d_local": self.encoder.d,
                "d_image": 0, "d_patch": 0, "n_p": 0,
            },
            "max_tokens": self.config.max_tokens,
            "texts_at_max_tokens": self.plan.texts.cut,
            "without_picture": {g: self._without(g) for g in GROUPS},
            "failed_pictures": {paths[row]: failed[row] for row in sorted(failed)},
        }  # fmt: skip

    def _without(self, group: str) -> int:
        return int((self.plan.picture[self.plan.rows[group]] < 0).sum())
