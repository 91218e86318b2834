"""Picture files: read and checked, then decoded to the encoder's square or told why not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import MelovError
from stages.encode.decode import PictureError, decode
from stages.encode.encoders.encoder import Pixels


@dataclass(frozen=True)
class Loaded:
    """A decoded picture, uint8 (size, size, 3), or the reason why there is none."""

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


def _changed(path: Path, how: str) -> MelovError:
    return MelovError(
        f"{path}: changed since the records were made ({how})",
        "run python -m pipeline.prepare for this data set again",
    )
