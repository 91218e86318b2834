"""Lists of strings as two arrays, since a store holds numbers only."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def pack_strings(strings: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes end to end (uint8, shape: (total,)) and offsets (int64, shape: (n + 1,))."""
    # "surrogatepass": half a surrogate pair, as broken JSON has it, survives the round trip.
    encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(data) for data in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def unpack_strings(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The strings that `pack_strings` packed."""
    text = data.tobytes()
    bounds = offsets.tolist()
    return [text[lo:hi].decode("utf-8", "surrogatepass") for lo, hi in pairwise(bounds)]
