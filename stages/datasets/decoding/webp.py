"""Animated WebP with transparency that the header does not tell of."""

import struct
from collections.abc import Iterator

ANIMATION, ALPHA = 0x02, 0x10
"""Flags of the VP8X chunk."""


def with_alpha_flag(data: bytes) -> bytes:
    """The file with its flag set where the first frame is transparent somewhere, or leaves a part
    of the canvas free; else as it is.

    Decoders that trust the flag lay such frames on black.
    """
    is_extended = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > 30
    if not is_extended or not data[20] & ANIMATION or data[20] & ALPHA:
        return data
    canvas = data[24:30]  # width and height, less 1, of 24 bits each; a frame's stand alike
    for name, start, length in _chunks(data, 12, len(data)):
        if name == b"ANMF":
            covers = data[start : start + 6] == bytes(6) and data[start + 6 : start + 12] == canvas
            if not covers or _has_alpha(data, start + 16, start + length):
                return data[:20] + bytes([data[20] | ALPHA]) + data[21:]
            return data
    return data


def _has_alpha(data: bytes, start: int, end: int) -> bool:
    for name, at, length in _chunks(data, start, end):
        if name == b"ALPH":
            return True
        if name == b"VP8L" and length >= 5:  # its fifth byte: version, alpha, height's high bits
            return bool(data[at + 4] & 0x10)
    return False


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk."""
    while at + 8 <= min(end, len(data)):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], at + 8, length
        at += 8 + length + length % 2
