"""What further encoders' parts are called, wherever they are read."""

from collections.abc import Iterable

FURTHER = "further/"
"""How heads name a further encoder in what they read, and its term in a score."""
FIRST = "first"
"""The first encoder, where it is named beside further ones."""
SENTENCE = "sentence"
"""A mention's sentence by itself, which an encoder of texts reads besides."""


def further_of(reads: Iterable[str]) -> list[str]:
    """The further encoders among what heads read, in ascending order."""
    return sorted(name.removeprefix(FURTHER) for name in reads if name.startswith(FURTHER))


def of_sentence(name: str) -> str:
    """The name of the same encoder's features, or term, of the sentence by itself."""
    return f"{name}/{SENTENCE}"
