"""New mentions, and how they are read from JSON Lines."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import MelovError, nearest
from cache.strict import plain, short
from stages.datasets.fields import (
    optional_text,
    parse_json,
    require_count,
    require_identifier,
    require_object,
)
from stages.datasets.names import Spellings
from stages.datasets.spans import SPAN, said_span
from stages.limits import NAME_CHARACTERS, PATH_CHARACTERS, TEXT_CHARACTERS

FIELDS = ("mention", "sentence", *SPAN, "image", "id")
PASSED_OVER = ("answer", "split", "image_kind")
"""Of a mention in a JSON Lines data set: they say nothing to the linker."""


@dataclass(frozen=True)
class NewMention:
    """A mention that no record holds.

    Args:
        words: what is to be linked; sentence: where it stands.
        image: its picture: a file, or a file's bytes; or None.
        id: goes into the result as it is.
        warnings: what was cut.
    """

    words: str
    sentence: str = ""
    image: Path | bytes | None = None
    id: str = "1"
    warnings: tuple[str, ...] = ()


def read_mentions(lines: Iterable[bytes], name: str) -> list[NewMention]:
    """One mention a line: {"mention", "sentence"?, "image"?, "id"?}, with `start` and `end` of the
    sentence in the place of the mention or besides; blank lines are passed over.

    A mention without an id gets its line's number. Pictures' paths are relative to the current
    folder.

    Raises:
        MelovError: a line is no such object, or one too many; it is named as `name`:line.
    """
    found: list[NewMention] = []
    spellings = Spellings(Path())
    for number, line in enumerate(lines, 1):
        if line.strip():
            require_count(len(found) + 1, f"{name}:{number}")
            where = f"{name}:{number}"
            said = require_object(parse_json(line, where), where)
            found.append(new_mention(said, where, str(number), spellings))
    return found


def new_mention(
    said: dict[str, Any], where: str, number: str = "1", spellings: Spellings | None = None
) -> NewMention:
    """A mention of its fields, checked and cut.

    Args:
        number: its id where it has none.
        spellings: of the current folder, kept for many mentions.

    Raises:
        MelovError: an unknown field, no words, a value that is no string or no text; an id or a
            path that is too long.
    """
    for key in said:
        if key not in (*FIELDS, *PASSED_OVER):
            raise MelovError(
                f"{where}: unknown field '{plain(key)}'{nearest(key, list(FIELDS))}",
                f"the fields are {', '.join(FIELDS)}",
            )
    if type(said.get("id")) is int:
        said = {**said, "id": str(said["id"])}
    words, sentence, image, id = (
        _text(said, field, where) for field in FIELDS if field not in SPAN
    )
    span = said_span(said, sentence, where)
    if span is not None:
        there = sentence[slice(*span)]
        if words not in ("", there):
            raise MelovError(
                f"{where}: from {span[0]} to {span[1]} the sentence has {short(there)}, not the "
                f"mention {short(words)}"
            )
        words = there
    if not words.strip():
        raise MelovError(f"{where}: field 'mention': no words to link")
    require_identifier(id, where)
    if len(image) > PATH_CHARACTERS:
        raise MelovError(f"{where}: field 'image' has {len(image):,} characters, no path")
    warnings = []
    if len(words) > NAME_CHARACTERS:
        warnings.append(f"the mention is cut at {NAME_CHARACTERS:,} characters")
    if len(sentence) > TEXT_CHARACTERS:
        warnings.append(f"the sentence is cut at {TEXT_CHARACTERS:,} characters")
    return NewMention(
        words[:NAME_CHARACTERS],
        sentence[:TEXT_CHARACTERS],
        Path((spellings or Spellings(Path())).of(image)) if image else None,
        id or number,
        tuple(warnings),
    )


def _text(said: dict[str, Any], field: str, where: str) -> str:
    value = optional_text(said, field, where) or ""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MelovError(f"{where}: field '{field}' holds a lone surrogate, no text") from None
    return value
