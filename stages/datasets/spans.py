"""Where a mention stands in its sentence: offsets in Unicode characters, the end excluded."""

from __future__ import annotations

from typing import Any

from stages.datasets.records import RecordsError

SPAN = ("start", "end")
"""Fields of a mention."""

Span = tuple[int, int]


def said_span(record: dict[str, Any], sentence: str, where: str) -> Span | None:
    """What a record says; None where it says nothing.

    Raises:
        RecordsError: one of the two alone, no whole numbers, or no part of the sentence.
    """
    said = [record.get(field) for field in SPAN]
    if said == [None, None]:
        return None
    start, end = (_number(value, field, where) for value, field in zip(said, SPAN, strict=True))
    if not 0 <= start < end <= len(sentence):
        raise RecordsError(
            f"{where}: start {start} and end {end} are no part of the sentence, which has "
            f"{len(sentence):,} characters",
            "offsets count Unicode characters from 0 on; end is behind the last one",
        )
    return start, end


def found_span(words: str, sentence: str) -> Span | None:
    """Where the words stand first; None where they do not."""
    start = sentence.find(words) if words.strip() else -1
    return None if start < 0 else (start, start + len(words))


def _number(value: Any, field: str, where: str) -> int:
    """A whole number, or the digits of one, as a CSV file has it."""
    if type(value) is int:
        return value
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 12:
        return int(value)
    raise RecordsError(
        f"{where}: field '{field}' must be a whole number", "start and end go together"
    )
