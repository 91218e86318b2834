"""From a picture's file to the square of pixels that the encoder takes.

Every failure is a `PictureError` with a short reason: extraction marks the row, counts and lists
it. No picture is ever replaced by a black one.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cache.errors import MelovError
from stages.encode.encoders.encoder import Pixels

# Decoded pixels at most; Pillow's own limit warns at this size and raises at twice of it.
MAX_PIXELS = 89_478_485

# What Pillow's decoders raise on damaged files, by format (AVIF: RuntimeError).
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError,
    ArithmeticError, struct.error,
)  # fmt: skip


class PictureError(Exception):
    """Why a picture cannot be encoded: corrupt, truncated, too large, empty."""


@dataclass(frozen=True)
class Loaded:
    """A decoded picture, uint8 (size, size, 3), or the reason why there is none."""

    pixels: np.ndarray | None
    reason: str | None = None


def decode(data: bytes, size: int, resize: str) -> np.ndarray:
    """RGB pixels, uint8 (size, size, 3).

    Animated pictures give their first frame; transparency is laid on white; 16-bit grey is scaled
    to 8 bits; CMYK and palettes are converted.

    Args:
        resize: `squash` ignores the aspect ratio, as the peers do; `crop` takes the centre square.

    Raises:
        PictureError: with the reason.
    """
    if not data:
        raise PictureError("empty file")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(f"too large: {picture.width} x {picture.height} pixels")
            # JPEG alone: decodes at a fraction of the size, never below the target.
            picture.draft("RGB", (2 * size, 2 * size))
            return np.asarray(_square(_rgb(picture), size, resize))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureError("too large: a decompression bomb") from None
    except UnidentifiedImageError:
        raise PictureError("corrupt: no known picture format") from None
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        kind = "truncated" if "truncated" in reason else "corrupt"
        raise PictureError(f"{kind}: {reason}") from None


def read_picture(root: Path, path: str, key: str) -> bytes:
    """A picture's file, checked against the key of the records.

    Raises:
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


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """No warnings on EXIF and ICC oddities, which do not touch the pixels.

    Goes around the threads that decode, not into them: Python's filters are the whole process's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def normalised(pictures: np.ndarray, pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 (n, size, size, 3) -> float32 (n, 3, size, size), by the encoder's mean and std."""
    x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
    mean = torch.tensor(pixels.mean, device=device).view(3, 1, 1)
    std = torch.tensor(pixels.std, device=device).view(3, 1, 1)
    # (x / 255 - mean) / std, in place: a pass over a batch's pixels costs as much as a layer norm.
    return x.sub_(255 * mean).mul_(1 / (255 * std))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        # Pillow's own conversion clips at 255; the high byte is what the eye would see.
        wide = np.asarray(picture.convert("I"), dtype=np.int64)
        return Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def _square(picture: Image.Image, size: int, resize: str) -> Image.Image:
    if resize == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def _changed(path: Path, how: str) -> MelovError:
    return MelovError(
        f"{path}: changed since the records were made ({how})",
        "run python -m pipeline.prepare for this data set again",
    )
