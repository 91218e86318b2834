"""CRC-32 of the rows of chunk files."""

import zlib
from collections.abc import Iterable

import numpy as np


def flat_bytes(array: np.ndarray) -> np.ndarray:
    """The array's C-order bytes, uint8, without a copy if it is contiguous already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def crc32(array: np.ndarray, before: int = 0) -> int:
    """CRC-32 of the array's C-order bytes, continuing from `before`."""
    return zlib.crc32(flat_bytes(array).data, before)


def crcs_of(data: np.ndarray, sizes: Iterable[int]) -> tuple[int, ...]:
    """CRC-32 of consecutive pieces of `data`, uint8, of these numbers of bytes."""
    found, at = [], 0
    for size in sizes:
        found.append(crc32(data[at : at + size]))
        at += size
    return tuple(found)
