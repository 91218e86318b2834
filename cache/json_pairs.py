"""Whether JSON that has been read can have repeated a key: its pairs are counted in the bytes, and
compared with the entries of what was read. Ten times as fast as to look at each pair.

A pair is a colon outside of strings. Before it stands, but for blanks, the quote that ends the key.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

_QUOTE, _BACKSLASH, _COLON, _BRACE = b'"\\:{'
_BLANK = 32
"""And below: no other control character stands in JSON outside of strings, nor in one."""
_CHUNK = 2**16
"""Bytes at a time: what is computed of them stays in the processor's cache."""
_OPENS = np.zeros(256, bool)
_OPENS[[_BACKSLASH, _QUOTE, *b"[{,:", *range(_BLANK + 1)]] = True
"""What can stand before a quote that ends no key: one that opens a string, or is in one."""


def may_repeat(data: bytes, value: Any) -> bool:
    """Whether an object in the text can have a key twice; False is certain.

    Args:
        data: valid JSON in UTF-8.
        value: what it spells, as `json.loads` reads it.
    """
    bytes_ = np.frombuffer(data, np.uint8)  # (n,)
    pairs, objects = _at_most(bytes_)
    if _entries(value, objects) == pairs:
        return False
    pairs, objects = _counted(bytes_)
    return _entries(value, objects) != pairs


def _at_most(data: np.ndarray) -> tuple[int, int]:
    """Pairs and objects; strings that hold what looks like one count, too."""
    pairs = objects = 0
    for part, first in _parts(data):
        objects += int(np.count_nonzero(part == _BRACE))
        colons = np.flatnonzero(part == _COLON) + first
        before = data[colons - 1]
        pairs += int(np.count_nonzero((before == _QUOTE) | (before <= _BLANK)))
    return pairs, objects


def _counted(data: np.ndarray) -> tuple[int, int]:
    """Pairs and objects. Whether a place is in a string is looked up only where that is unclear."""
    pairs = objects = quotes = 0
    for part, first in _parts(data):
        colons = np.flatnonzero(part == _COLON) + first
        before = data[colons - 1]
        ends = before == _QUOTE
        clear = ends & ~_OPENS[data[colons - 2]]  # the second byte of valid JSON is no colon
        pairs += int(np.count_nonzero(clear))
        ends |= before <= _BLANK
        unclear = colons[ends ^ clear]
        braces = np.flatnonzero(part == _BRACE) + first
        ours = np.flatnonzero(part == _QUOTE) + first
        if (data[max(0, first - 1) : first + _CHUNK] == _BACKSLASH).any():
            ours = _without_escaped(data, ours)
        for places, is_pair in ((unclear, True), (braces, False)):
            outside = (np.searchsorted(ours, places) + quotes) % 2 == 0
            if is_pair:
                pairs += int(np.count_nonzero(outside))
            else:
                objects += int(np.count_nonzero(outside))
        quotes += len(ours)
    return pairs, objects


def _without_escaped(data: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Those of the quotes before which the number of backslashes is even, 0 mostly."""
    behind = data[quotes - 1] == _BACKSLASH
    places = np.flatnonzero(behind)
    escaped = np.ones(len(places), bool)
    back = 2
    waiting = np.arange(len(places))
    while len(waiting):
        at = quotes[places[waiting]] - back
        waiting = waiting[(at >= 0) & (data[at] == _BACKSLASH)]
        escaped[waiting] ^= True
        back += 1
    return np.delete(quotes, places[escaped])


def _parts(data: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    for first in range(0, len(data), _CHUNK):
        yield data[first : first + _CHUNK], first


def _entries(value: Any, objects: int) -> int:
    """Entries of all objects of a value; `objects`, at least as many as there are, spares a walk
    where they can be nowhere but in the first two levels."""
    if isinstance(value, dict) and objects == 1:
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) else []
    if set(map(type, inner)) == {dict} and objects == len(inner) + len(own):
        return sum(map(len, chain(own, inner)))
    entries, level = 0, [value]
    while level:
        found = [item for item in level if item.__class__ is dict]
        entries += sum(map(len, found))
        lists = (item for item in level if item.__class__ is list)
        every = chain(chain.from_iterable(map(dict.values, found)), chain.from_iterable(lists))
        level = [item for item in every if item.__class__ is dict or item.__class__ is list]
    return entries
