"""Pictures as data URIs, so that a page needs no other file."""

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

THUMBNAIL = 160
"""Longest side of a thumbnail, pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI with its size, or the reason why there is none."""

    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def thumbnail(path: Path | None, side: int = THUMBNAIL) -> Thumbnail:
    """A JPEG of the picture at `path`, at most `side` long; None is a record without a picture."""
    if path is None:
        return Thumbnail(problem="no picture")
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")  # odd metadata; extraction has reported it
            small = ImageOps.exif_transpose(picture)
            if small.mode in ("LA", "PA", "RGBA", "P"):  # transparent parts over white
                small = small.convert("RGBA")
                white = Image.new("RGBA", small.size, "white")
                small = Image.alpha_composite(white, small)
            small = small.convert("RGB")
            small.thumbnail((side, side))
            buffer = io.BytesIO()
            small.save(buffer, format="JPEG", quality=82)
    except FileNotFoundError:
        return Thumbnail(problem="picture missing")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Thumbnail(problem="picture does not decode")
    return Thumbnail(data_uri(buffer.getvalue(), "image/jpeg"), *small.size)


def data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
