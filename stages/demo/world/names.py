"""Names of the demo's entities: surface names that several share, and given names of persons."""

from collections.abc import Iterator
from random import Random

from stages.demo.world.words import WORDS

_WORDS = WORDS.names


def surfaces(random: Random) -> Iterator[str]:
    """Endless distinct surface names; every script occurs among the first few.

    Double-barrelled names follow once the single ones are used up, so no size of knowledge base
    is too large.
    """
    plain = [onset + ending for onset in _WORDS.onsets for ending in _WORDS.endings]
    random.shuffle(plain)
    special = [*_WORDS.scripts, *_WORDS.accented]
    random.shuffle(special)
    # Every third name is such a one, so that even a knowledge base of 50 entities has a few.
    while special:
        yield special.pop()
        yield plain.pop()
        yield plain.pop()
    yield from plain
    for first in plain:
        for second in plain:
            if first != second:
                yield f"{first}-{second}"


def given_names(surface: str, random: Random) -> Iterator[str]:
    """Given names for `surface` in random order, in its own script; initials follow them."""
    pool = list(_WORDS.scripts.get(surface, _WORDS.given))
    random.shuffle(pool)
    yield from pool
    for first in pool:
        for second in pool:
            if first != second:
                yield f"{first} {second[0]}."


def unknown_name(random: Random) -> str:
    """A name for a `nil` mention, which no entity bears."""
    return random.choice(_WORDS.onsets) + "x" + random.choice(_WORDS.endings) + "is"
