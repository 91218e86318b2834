"""Grey of more than 8 bits, as the 8 bits that an eye would see.

No header says reliably how many of the bits are used, so the pixels do:

| pixels | becomes white |
|---|---|
| 16 bits, or 32-bit integers from 0 up to 65,535 | 2^n - 1, the least n of 8, 10, 12, 14, 16 that holds the largest pixel |
| floating point within 0 … 1 | 1 |
| floating point within 0 … 255 | 255 |
| any others | the largest pixel; the least one is black |
"""  # noqa: E501 - a table

import sys

import numpy as np
from PIL import Image

DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Pillow's modes of such pictures."""
DEPTHS = (8, 10, 12, 14, 16)
STRIP = 2**20
"""Pixels that are converted at once: the intermediate numbers take eight times their room."""


def grey_of(picture: Image.Image, key: object) -> tuple[Image.Image, Image.Image | None]:
    """Grey of mode L, and a mask that is 0 where the picture is transparent (None: nowhere).

    Args:
        picture: loaded, of a mode of DEEP.
        key: the pixel that stands for transparency, if it is a number.

    Raises:
        ValueError: pixels that are not finite, or all alike out of any known range.
    """
    pixels = _pixels(picture)
    black, white = _range(pixels)
    grey = np.empty(pixels.shape, np.uint8)
    # 256 levels share the range: of 16 bits that is the high byte.
    levels = 256 / (white - black + (pixels.dtype.kind != "f"))
    flat, out = pixels.reshape(-1), grey.reshape(-1)
    for lo in range(0, len(flat), STRIP):
        part = (flat[lo : lo + STRIP].astype(np.float64) - black) * levels
        out[lo : lo + STRIP] = np.clip(part, 0, 255)
    opaque = None
    if isinstance(key, int):
        opaque = Image.fromarray(np.where(pixels == key, 0, 255).astype(np.uint8))
    return Image.fromarray(grey), opaque


def _pixels(picture: Image.Image) -> np.ndarray:
    if not picture.mode.startswith("I;16"):
        return np.asarray(picture)
    order = {"I;16B": ">u2", "I;16N": "=u2"}.get(picture.mode, "<u2")
    data = np.frombuffer(picture.tobytes(), order).reshape(picture.height, picture.width)
    return data.astype(np.uint16) if sys.byteorder == "big" else data


def _range(pixels: np.ndarray) -> tuple[float, float]:
    """The pixels that become black and white."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("pixels that are not finite, which is unsupported")
    if low >= 0 and pixels.dtype.kind == "f" and high <= 1:
        return 0.0, 1.0
    if low >= 0 and pixels.dtype.kind == "f" and high <= 255:
        return 0.0, 255.0
    if low >= 0 and pixels.dtype.kind != "f" and high < 2 ** DEPTHS[-1]:
        return 0.0, float(2 ** next(n for n in DEPTHS if high < 2**n) - 1)
    if low == high:
        raise ValueError(f"all pixels are {low:g}, a range that is unsupported")
    return low, high
