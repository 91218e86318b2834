"""What an entity's features are made of, by the keys that a store holds them under."""

from hashlib import blake2b

import numpy as np

from stages.features.cached import CachedFeatures
from stages.features.stored import whole

KEY_BYTES = 16
"""Of a text's key, and of a picture's."""


def content_keys(cached: CachedFeatures, rows: np.ndarray) -> np.ndarray:
    """What a store's features of entities are held under, uint8 (n, 32): the text's key, then the
    picture's, zeros without one. Where further encoders are read, a hash of the text's key with
    theirs stands in the text's place."""
    store = cached.store
    keys = np.zeros((len(rows), 2 * KEY_BYTES), np.uint8)
    keys[:, :KEY_BYTES] = whole(store, "texts/keys")[cached.text_rows["entities"][rows]]
    images = cached.image_rows["entities"][rows]
    if cached.uses_images:
        keys[images >= 0, KEY_BYTES:] = whole(store, "images/keys")[images[images >= 0]]
    if cached.further:
        parts = [keys[:, :KEY_BYTES], *(one.keys(rows) for one in cached.further)]
        whole_keys = np.concatenate(parts, axis=1)
        hashed = b"".join(
            blake2b(row.tobytes(), digest_size=KEY_BYTES).digest() for row in whole_keys
        )
        keys[:, :KEY_BYTES] = np.frombuffer(hashed, np.uint8).reshape(-1, KEY_BYTES)
    return keys


def places(wanted: np.ndarray, held: list[np.ndarray]) -> np.ndarray:
    """The first row among all of `held` of each key, -1 where there is none, int64 (n,)."""
    keys = np.concatenate([np.zeros((0, 2 * KEY_BYTES), np.uint8), *held])
    if not len(keys):
        return np.full(len(wanted), -1)
    short = _short(keys)
    order = np.argsort(short, kind="stable")
    at = np.searchsorted(short[order], _short(wanted)).clip(max=len(keys) - 1)
    place = order[at]
    return np.where((keys[place] == wanted).all(1), place, -1)


def _short(keys: np.ndarray) -> np.ndarray:
    """64 bits of each key, which is made of hashes; who compares them compares the keys after."""
    words = np.ascontiguousarray(keys).view(np.uint64)
    found: np.ndarray = words[:, 0] ^ (words[:, KEY_BYTES // 8] * np.uint64(0x9E3779B97F4A7C15))
    return found
