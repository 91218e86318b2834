"""Distinct pairs of a text and a picture: which there are, and how a unit of them is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.config import ExtractConfig
from stages.encode.encoders.vilt import ViltEncoder
from stages.encode.features import encode_pairs
from stages.encode.pictures import Loaded, decode_picture, read_picture
from stages.encode.plan import GROUPS, PicturePlan, TextPlan
from stages.encode.schedule import Work
from stages.encode.units import Encoded, WorkUnit, units_of


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


@dataclass(frozen=True)
class PairWork:
    """Distinct pairs, the pictures' files below `root`; a unit's note has the row of each picture
    that did not decode, with the reason."""

    config: ExtractConfig
    encoder: ViltEncoder
    plan: PairPlan
    root: Path
    pad: int

    def work(self) -> Work[Any]:
        return Work(
            units_of("pairs", len(self.plan), self.config.batch_images),
            self.encode,
            "pairs",
            read=self.read,
            decode=self.decode,
            ahead=self.encoder.device.type != "cpu",
        )

    def encode(self, unit: WorkUnit, loaded: Sequence[Loaded | None]) -> Encoded:
        ids = [self.plan.texts.ids[row] for row in self.plan.text[unit.lo : unit.hi]]
        joint, reasons = encode_pairs(self.encoder, ids, loaded, self.config.batch_images, self.pad)
        pictures = self.plan.picture[unit.lo : unit.hi].tolist()
        failed = [
            [row, reason]
            for row, reason in zip(pictures, reasons, strict=True)
            if reason is not None
        ]
        return Encoded([("texts/global", unit.lo, joint)], failed)

    def read(self, pair: int) -> bytes | None:
        """The pair's picture, None where it has none."""
        row, pictures = int(self.plan.picture[pair]), self.plan.pictures
        return None if row < 0 else read_picture(self.root, pictures.paths[row], pictures.keys[row])

    def decode(self, data: bytes | None) -> Loaded | None:
        if data is None:
            return None
        return decode_picture(data, self.encoder.pixels, self.config.resize)
