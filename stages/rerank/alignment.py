"""How the words of a mention and of a name lie on each other: what a few candidates are told apart
by, besides scores. Not in the paper.

The n-grams of the lexical unit say how much two strings share, not which part of them. Which word
is shared (mostly the last one), what the name has besides, and whether the sentence has that too is
seen word by word: costly for all pairs, and nothing for the best 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stages.unicode import words_of

COLUMNS = (
    "share of the mention in the name", "share of the name in the mention",
    "mention within the name", "name within the mention", "equal",
    "name begins with the mention", "name ends with the mention",
    "first words equal", "last words equal", "last is first", "first is last",
    "words of the name besides", "words of the mention besides",
    "besides, in the sentence", "share of them in the sentence",
    "first word in the sentence", "last word in the sentence", "name in the sentence",
    "words of the name", "words of the mention", "with a comma", "with a bracket",
)  # fmt: skip
"""Of an alignment, each from 0 to 1 or a small number of words."""

MOST = 8
"""Words that are told apart in a count."""

_KEPT = 65_536
_words = lru_cache(_KEPT)(lambda text: tuple(words_of(text)))


@dataclass(frozen=True)
class Context:
    """A mention's words, and those of its sentence that are none of it."""

    words: tuple[str, ...]
    besides: frozenset[str]

    @classmethod
    def of(cls, words: str, sentence: str) -> Context:
        own = tuple(words_of(words))
        found = words_of(sentence)
        for word in own:
            if word in found:
                found.remove(word)  # once: what stands there again is no part of the mention
        return cls(own, frozenset(found))


def alignments(context: Context, candidates: Sequence[Sequence[str]]) -> np.ndarray:
    """Of one mention and some entities, float32 (entities, COLUMNS).

    Args:
        candidates: each entity's names, of which the one that shares most with the mention counts,
            the earlier of equals.
    """
    rows = [max((_row(context, name) for name in names), key=_shared) for names in candidates]
    return np.array(rows, np.float32).reshape(-1, len(COLUMNS))


def _shared(row: tuple[float, ...]) -> float:
    return row[0] + row[1]


def _row(context: Context, name: str) -> tuple[float, ...]:
    m, e = context.words, _words(name)
    of_mention, of_name = set(m), set(e)
    shared = of_mention & of_name
    besides = of_name - of_mention
    said = besides & context.besides
    both = bool(m) and bool(e)
    return (
        len(shared) / max(1, len(of_mention)),
        len(shared) / max(1, len(of_name)),
        both and of_mention <= of_name,
        both and of_name <= of_mention,
        m == e,
        both and e[: len(m)] == m,
        both and e[-len(m) :] == m,
        both and m[0] == e[0],
        both and m[-1] == e[-1],
        both and m[-1] == e[0],
        both and m[0] == e[-1],
        min(MOST, len(besides)) / MOST,
        min(MOST, len(of_mention - of_name)) / MOST,
        min(MOST, len(said)) / MOST,
        len(said) / max(1, len(besides)),
        bool(e) and e[0] in context.besides,
        bool(e) and e[-1] in context.besides,
        bool(e) and of_name <= of_mention | context.besides,
        min(MOST, len(e)) / MOST,
        min(MOST, len(m)) / MOST,
        "," in name,
        "(" in name,
    )
