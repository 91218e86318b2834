"""From a picture's file to the square of pixels that the encoder takes.

Every failure is a `PictureError` with a short reason: extraction marks the row, counts and lists
it. No picture is ever replaced by a black one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cache.errors import MelovError
from stages.datasets.decoding.changed import ChangedPictureError
from stages.datasets.decoding.picture import Exif, PictureError, quiet_pillow, read_bytes, rgb
from stages.encode.encoders.encoder import Pixels

__all__ = [
    "Loaded", "PictureError", "decode", "decode_picture", "normalised", "quiet_pillow",
    "read_picture",
]  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A decoded picture, uint8 (size, size, 3), or the reason why there is none."""

    pixels: np.ndarray | None
    reason: str | None = None


def decode(data: bytes, size: int, resize: str, exif: Exif = "ignore") -> np.ndarray:
    """RGB pixels, uint8 (size, size, 3), by `stages.datasets.decoding.picture.rgb`.

    Args:
        resize: `squash` ignores the aspect ratio, as the peers do; `crop` takes the centre square.
        exif: whether the picture is turned as its EXIF orientation says.

    Raises:
        PictureError: with the reason.
    """
    picture = rgb(data, draft=2 * size, exif=exif)
    try:
        return np.asarray(_square(picture, size, resize))
    except MemoryError:
        raise PictureError("too large: not enough memory to resize it") from None


def read_picture(root: Path, path: str, key: str) -> bytes | Loaded:
    """A picture's file, checked against the key of the records; the reason of one that is too
    large to be held.

    Raises:
        ChangedPictureError: the file is not the one that `prepare` saw.
    """
    try:
        data = read_bytes(root / path)
    except PictureError as error:
        return Loaded(None, str(error))
    except MelovError as error:
        reason = error.message.removeprefix(f"{root / path}: ")
        raise _changed(root / path, reason) from None
    if hashlib.blake2b(data, digest_size=16).hexdigest() != key:
        raise _changed(root / path, "other bytes")
    return data


def decode_picture(
    data: bytes | Loaded, pixels: Pixels, resize: str, exif: Exif = "ignore"
) -> Loaded:
    """The encoder's square, or why there is none."""
    if isinstance(data, Loaded):
        return data
    try:
        return Loaded(decode(data, pixels.size, resize, exif))
    except PictureError as error:
        return Loaded(None, str(error))


def normalised(pictures: np.ndarray, pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 (n, size, size, 3) -> float32 (n, 3, size, size), by the encoder's mean and std."""
    x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
    mean = torch.tensor(pixels.mean, device=device).view(3, 1, 1)
    std = torch.tensor(pixels.std, device=device).view(3, 1, 1)
    # (x / 255 - mean) / std, in place: a pass over a batch's pixels costs as much as a layer norm.
    return x.sub_(255 * mean).mul_(1 / (255 * std))


def _square(picture: Image.Image, size: int, resize: str) -> Image.Image:
    if resize == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def _changed(path: Path, how: str) -> ChangedPictureError:
    if "ermission" in how:
        return ChangedPictureError(
            f"{path}: {how}; it could be read when the records were made",
            "make it readable, or run python -m pipeline.prepare for this data set again",
        )
    return ChangedPictureError(
        f"{path}: changed since the records were made ({how})",
        "run python -m pipeline.prepare for this data set again",
    )
