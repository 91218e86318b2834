import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cache.checksum import crc32, crcs_of


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_pieces_have_their_own_checksums(pieces: list[bytes]):
    data = np.frombuffer(b"".join(pieces), np.uint8)
    assert crcs_of(data, [len(piece) for piece in pieces]) == tuple(map(zlib.crc32, pieces))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_checksum_continues(first: bytes, second: bytes):
    before = crc32(np.frombuffer(first, np.uint8))
    assert crc32(np.frombuffer(second, np.uint8), before) == zlib.crc32(first + second)


def test_an_array_is_summed_in_c_order():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert crc32(array.T) == zlib.crc32(array.T.tobytes())
