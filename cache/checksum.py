"""CRC-32 of arrays, and of a whole from the CRCs of its pieces.

Each unit's checksum is taken from memory as the unit is written. The whole array's follows from
them without reading anything back, whatever the units were, so it also covers what the disk did.
"""

import zlib
from functools import lru_cache

import numpy as np

_POLYNOMIAL = 0xEDB88320  # CRC-32's, reflected: bit 31 is x^0


def flat_bytes(array: np.ndarray) -> np.ndarray:
    """The array's C-order bytes, uint8, without a copy if it is contiguous already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def crc32(array: np.ndarray, before: int = 0) -> int:
    """CRC-32 of the array's C-order bytes, continuing from `before`."""
    return zlib.crc32(flat_bytes(array).data, before)


def combine(first: int, second: int, second_bytes: int) -> int:
    """CRC-32 of two joined pieces, from their own CRCs and the length of the second.

    Appending n bytes multiplies a CRC, seen as a polynomial over GF(2), by x^(8n).
    """
    return _times(_shift(second_bytes), first) ^ second


@lru_cache(maxsize=4096)
def _shift(n_bytes: int) -> int:
    """x^(8 n_bytes) modulo the CRC's polynomial, by squaring."""
    result, square = 1 << 31, 1 << 23  # 1 and x^8
    while n_bytes:
        if n_bytes & 1:
            result = _times(square, result)
        square = _times(square, square)
        n_bytes >>= 1
    return result


def _times(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    product, bit = 0, 1 << 31
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product
