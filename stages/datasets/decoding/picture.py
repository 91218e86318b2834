"""From a picture's bytes to its pixels: the one route that extraction, linking, validation and the
report share.

Formats that Pillow decodes by itself are read, and no others: none that starts another program or
opens another file. Every failure is a `PictureError` whose first words say of which kind it is:
`empty file`, `not supported`, `corrupt`, `truncated`, `too large`.
"""

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from cache.strict import read_regular
from stages.datasets.decoding.deep_pixels import DEEP, grey_of
from stages.datasets.decoding.png import scaled_key, without_metadata
from stages.datasets.decoding.sniff import known_format
from stages.datasets.decoding.webp import with_alpha_flag
from stages.limits import PICTURE_BYTES, PICTURE_PIXELS, PICTURE_SIDE

Exif = Literal["ignore", "apply"]

FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF",
)  # fmt: skip
"""Pillow's names of the formats that are read; JPEG stands for MPO, too."""

LARGE = 16_000_000
"""Pixels from which one picture is decoded at a time: at PICTURE_PIXELS one takes up to 1 GB."""

# What Pillow's decoders raise on damaged files, by format (AVIF: RuntimeError).
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError,
    ArithmeticError, AttributeError, struct.error,
)  # fmt: skip
_MUCH_METADATA = ("Decompressed data too large", "Too much memory used in text chunks")
_alone = threading.Lock()


class PictureError(Exception):
    """Why a picture has no pixels for us."""


def read_bytes(path: Path) -> bytes:
    """A picture's file.

    Raises:
        PictureError: it is too large.
        MelovError: it is missing, not readable or no regular file.
    """
    if path.is_file() and path.stat().st_size > PICTURE_BYTES:
        raise PictureError(f"too large: {path.stat().st_size:,} bytes, at most {PICTURE_BYTES:,}")
    return read_regular(path, most=PICTURE_BYTES)


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The picture, its header read and its size within the limits; for the first frame alone.

    Raises:
        PictureError: with the reason, also for what is raised in the block.
    """
    if not data:
        raise PictureError("empty file")
    try:
        with _open(with_alpha_flag(data)) as picture:
            _require_size(picture)
            yield picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureError("too large: a decompression bomb") from None
    except UnidentifiedImageError:
        raise PictureError(_unknown(data)) from None
    except MemoryError:
        raise PictureError("too large: not enough memory to decode it") from None
    except _DAMAGED as error:
        raise PictureError(_damage(error)) from None


def rgb(data: bytes, draft: int | None = None, exif: Exif = "ignore") -> Image.Image:
    """A decoded picture of mode RGB.

    Animated pictures give their first frame; transparency is laid on white, whatever the depth;
    CMYK, palettes and other colour spaces are converted; grey of more than 8 bits is scaled to 8
    (`deep_pixels.grey_of`).

    Args:
        draft: lets a JPEG be decoded at a fraction of its size, never below this side.
        exif: `apply` turns the picture as its EXIF orientation says; `ignore`, as the peers do.

    Raises:
        PictureError: with the reason.
    """
    with opened(data) as picture:
        if draft is not None:
            picture.draft("RGB", (draft, draft))
        large = picture.width * picture.height > LARGE
        with _alone if large else nullcontext():
            found = _rgb(picture, data)
        if exif == "apply":
            # Of the opened picture: converting drops what EXIF says.
            found.info["exif"] = picture.getexif().tobytes()
            found = ImageOps.exif_transpose(found)
        return found


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """No warnings on EXIF and ICC oddities, which do not touch the pixels.

    Goes around the threads that decode, not into them: Python's filters are the whole process's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=formats())
    except ValueError as error:
        if not str(error).startswith(_MUCH_METADATA):
            raise
        return Image.open(io.BytesIO(without_metadata(data)), formats=formats())


@lru_cache(maxsize=1)
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _require_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > PICTURE_PIXELS or max(width, height) > PICTURE_SIDE:
        raise PictureError(
            f"too large: {width:,} x {height:,} pixels, at most {PICTURE_PIXELS:,}, and "
            f"{PICTURE_SIDE:,} a side"
        )


def _rgb(picture: Image.Image, data: bytes) -> Image.Image:
    try:
        key = scaled_key(picture, data)
        _load(picture)
    except ValueError as error:
        if not str(error).startswith(_MUCH_METADATA):
            raise
        with _open(without_metadata(data)) as again:
            return _rgb(again, without_metadata(data))
    if picture.mode in DEEP:
        grey, opaque = grey_of(picture, key)
        if opaque is None:
            return grey.convert("RGB")
        return Image.composite(grey, Image.new("L", grey.size, 255), opaque).convert("RGB")
    if key is not None:
        picture.info["transparency"] = key
        if picture.mode == "1":
            picture = picture.convert("L")
            picture.info["transparency"] = key
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def _load(picture: Image.Image) -> None:
    picture.load()
    # An ICO or a TIFF may tell another size once its pixels are there.
    _require_size(picture)


def _unknown(data: bytes) -> str:
    name, is_read = known_format(data)
    if name is None:
        return "corrupt: no known picture format"
    if is_read or name in formats():  # AVIF is where this Pillow has its library
        return f"corrupt: begins as {name}, and is none"
    return f"not supported: {name}"


def _damage(error: BaseException) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if "conversion from" in reason or "unsupported" in reason.lower():
        return f"not supported: {reason}"
    return f"{'truncated' if 'truncated' in reason else 'corrupt'}: {reason}"
