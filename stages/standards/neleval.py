"""Annotations as neleval reads them, the scorer of TAC's entity linking:

    document <tab> start <tab> end <tab> entity <tab> score <tab> type

Each mention is a document of its own. Who has no entity has an id that begins with NIL.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from stages.standards.answered import Answered

ENDING = "tab"


def gold(mentions: Iterable[Answered]) -> str:
    return "".join(_line(m, m.gold, 1.0) for m in mentions)


def system(mentions: Iterable[Answered]) -> str:
    return "".join(_line(m, m.answer, m.score) for m in mentions)


def _line(mention: Answered, entity: str | None, score: float) -> str:
    id = _name(mention.id)
    name = f"NIL-{id}" if entity is None else _name(entity)
    return f"{id}\t{mention.start}\t{mention.end}\t{name}\t{score:.6f}\tUNK\n"


def _name(id: str) -> str:
    """Without what would end a column or a line; no entity's begins with NIL."""
    safe = "".join(c if c.isprintable() and c != "%" else quote(c, safe="") for c in id)
    return f"%4E{safe[1:]}" if safe.startswith("NIL") else safe
