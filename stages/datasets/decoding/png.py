"""What Pillow does not make of a PNG: keys of transparency at every depth, and large metadata."""

import struct
from typing import Any

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks of words and colour profiles: no pixel depends on them here."""


def without_metadata(data: bytes) -> bytes:
    """The file without its words and profile, however large they are; anything else as it is."""
    if not data.startswith(SIGNATURE):
        return data
    kept, at = [SIGNATURE], len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if data[at + 4 : at + 8] not in METADATA:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def scaled_key(picture: Image.Image, data: bytes) -> Any:
    """The colour that a PNG's tRNS chunk makes transparent, as the decoded pixels have it.

    Pillow spreads grey of 1, 2 and 4 bits over 0 … 255 and takes the high byte of 16-bit colours,
    and leaves the key as it stands in the file.

    Returns:
        An integer, a triple, or None where the file is no PNG or has no such key; a palette's is
        left to Pillow.
    """
    key = picture.info.get("transparency")
    if picture.format != "PNG" or len(data) < 26:
        return None
    depth, kind = data[24], data[25]
    if kind == 0 and isinstance(key, int):
        return key if depth >= 8 else key * 255 // (2**depth - 1)
    if kind == 2 and isinstance(key, tuple):
        return tuple(value >> 8 for value in key) if depth == 16 else key
    return None
