import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cache.checksum import combine, crc32


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_combined_checksums_of_pieces_equal_the_checksum_of_the_whole(pieces: list[bytes]):
    crc = 0
    for piece in pieces:
        crc = combine(crc, zlib.crc32(piece), len(piece))
    assert crc == zlib.crc32(b"".join(pieces))


def test_combining_is_right_for_long_pieces():
    first, second = np.arange(70_001, dtype=np.int32), np.arange(1_000_003, dtype=np.uint8)
    whole = zlib.crc32(first.tobytes() + second.tobytes())
    assert combine(crc32(first), crc32(second), second.nbytes) == whole
    assert crc32(second, crc32(first)) == whole


def test_the_checksum_is_of_c_order_bytes():
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    assert crc32(array.T) == zlib.crc32(array.T.tobytes("C"))
    assert crc32(np.zeros((0, 3))) == 0
