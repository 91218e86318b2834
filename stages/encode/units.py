"""The work units of extraction: contiguous rows of the store, encoded by a pure function.

A unit's bytes depend on its rows and the batch size alone, never on which unit ran before, so a
killed extraction goes on where it stopped and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.errors import MelovError
from stages.encode.decode import PictureError, decode, normalised
from stages.encode.encoders.encoder import Encoder, Pixels, pad_ids

UNIT_BATCHES = 8
"""Batches a unit: a kill loses at most these, and the ledger stays short."""


@dataclass(frozen=True)
class Unit:
    """Rows [lo, hi) of the texts or of the images."""

    kind: str
    lo: int
    hi: int

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.lo}-{self.hi}"

    @property
    def rows(self) -> int:
        return self.hi - self.lo


@dataclass(frozen=True)
class Encoded:
    """What a unit writes: parts as `Build.write` takes them, and its note."""

    parts: list[tuple[str, int, np.ndarray]]
    note: Any = None


def units_of(kind: str, rows: int, batch: int) -> list[Unit]:
    step = UNIT_BATCHES * batch
    return [Unit(kind, lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def encode_text_unit(
    encoder: Encoder, ids: Sequence[np.ndarray], unit: Unit, first_token: int, batch: int, pad: int
) -> Encoded:
    """Global and local features of the unit's texts; `ids` are all the store's."""
    whole, tokens = [], []
    for lo in range(unit.lo, unit.hi, batch):
        rows = ids[lo : min(lo + batch, unit.hi)]
        padded, mask = pad_ids(rows, pad, encoder.device)
        pooled, local = encoder.encode_texts(padded, mask)
        whole.append(_half(pooled))
        tokens.append(_half(local[mask.bool()]))
    parts = [
        ("texts/global", unit.lo, np.concatenate(whole)),
        ("texts/local", first_token, np.concatenate(tokens)),
    ]
    _check_finite(parts)
    return Encoded(parts)


@dataclass(frozen=True)
class Loaded:
    """A decoded picture, or the reason why there is none."""

    pixels: np.ndarray | None
    reason: str | None = None


def read_picture(root: Path, path: str, key: str) -> bytes:
    """A picture's file, checked against the key of the records.

    Raises
    ------
    MelovError: the file is not the one that `prepare` saw.
    """
    try:
        data = (root / path).read_bytes()
    except OSError as error:
        raise _changed(root / path, error.strerror or str(error)) from None
    if hashlib.blake2b(data, digest_size=16).hexdigest() != key:
        raise _changed(root / path, "other bytes")
    return data


def decode_picture(data: bytes, pixels: Pixels, resize: str) -> Loaded:
    """The encoder's square, or why there is none."""
    try:
        return Loaded(decode(data, pixels.size, resize))
    except PictureError as error:
        return Loaded(None, str(error))


def encode_image_unit(
    encoder: Encoder, pictures: Sequence[Loaded], unit: Unit, batch: int
) -> Encoded:
    """Features of the unit's pictures; a failed one keeps a row of zeros and is noted."""
    assert encoder.pixels is not None
    shapes, n = encoder.shapes, unit.rows
    whole = np.zeros((n, shapes.d_image), np.float16)
    patches = np.zeros((n, shapes.n_p, shapes.d_patch), np.float16)
    ok = np.zeros(n, dtype=bool)
    failed: list[Any] = []
    for lo in range(0, n, batch):
        part = pictures[lo : lo + batch]  # waits for these alone, or decodes them now
        squares = [picture.pixels for picture in part if picture.pixels is not None]
        failed += [[unit.lo + lo + i, p.reason] for i, p in enumerate(part) if p.pixels is None]
        ok[lo : lo + len(part)] = [picture.pixels is not None for picture in part]
        if not squares:
            continue
        rows = lo + np.flatnonzero(ok[lo : lo + len(part)])
        x = normalised(np.stack(squares), encoder.pixels, encoder.device)
        pooled, local = encoder.encode_images(x)
        whole[rows], patches[rows] = _half(pooled), _half(local)
    parts = [
        ("images/global", unit.lo, whole),
        ("images/local", unit.lo, patches),
        ("images/ok", unit.lo, ok.astype(np.uint8)),
    ]
    _check_finite(parts)
    return Encoded(parts, failed)


def _half(x: torch.Tensor) -> np.ndarray:
    half: np.ndarray = x.to(torch.float16).cpu().numpy()
    return half


def _check_finite(parts: list[tuple[str, int, np.ndarray]]) -> None:
    for name, start, values in parts:
        if not np.isfinite(values).all():
            bad = start + int(np.argwhere(~np.isfinite(values))[0][0])
            raise MelovError(
                f"{name}: row {bad} is not finite in float16",
                "the encoder overflows: --set extract.dtype=float32, or another checkpoint",
            )


def _changed(path: Path, how: str) -> MelovError:
    return MelovError(
        f"{path}: changed since the records were made ({how})",
        "run python -m pipeline.prepare for this data set again",
    )
