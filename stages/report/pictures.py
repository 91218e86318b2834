"""Pictures as data URIs, so that a page needs no other file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from cache.errors import MelovError
from stages.datasets.decoding.picture import Exif, PictureError, quiet_pillow, read_bytes, rgb

THUMBNAIL = 160
"""Longest side of a thumbnail, pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI with its size, or the reason why there is none."""

    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def thumbnail(path: Path | None, side: int = THUMBNAIL, exif: Exif = "ignore") -> Thumbnail:
    """A JPEG of the picture at `path`, at most `side` long, its pixels as an extraction with the
    setting `exif` sees them; None is a record without a picture."""
    if path is None:
        return Thumbnail(problem="no picture")
    if not path.exists():
        return Thumbnail(problem="picture missing")
    try:
        with quiet_pillow():  # odd metadata; extraction has reported it
            small = rgb(read_bytes(path), exif=exif)
    except (PictureError, MelovError) as error:
        said = error.message if isinstance(error, MelovError) else str(error)
        return Thumbnail(problem=f"picture does not decode: {said.removeprefix(f'{path}: ')}")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=82)
    return Thumbnail(data_uri(buffer.getvalue(), "image/jpeg"), *small.size)


def data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
