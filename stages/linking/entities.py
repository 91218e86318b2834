"""The entities that a linker knows, to be looked through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stages.unicode import canonical, folded


@dataclass(frozen=True)
class Entity:
    """One of the knowledge base."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()


class Entities:
    """The knowledge base of a linker, to be looked through by id and name.

    Args:
        aliases: of each entity; None where no entity has any.
    """

    def __init__(
        self, ids: list[str], names: list[str], aliases: list[list[str]] | None = None
    ) -> None:
        others: list[list[str]] = aliases or [[]] * len(ids)
        said = zip(ids, names, others, strict=True)
        self._found = [Entity(id, name, tuple(also)) for id, name, also in said]
        self._row = {id: row for row, id in enumerate(ids)}
        self._folded = [[folded(name) for name in (e.name, *e.aliases)] for e in self._found]

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self._found)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and canonical(id) in self._row

    def __getitem__(self, id: str) -> Entity:
        """The entity of an id.

        Raises:
            KeyError: there is none.
        """
        row = self._row.get(canonical(id))
        if row is None:
            raise KeyError(f"no entity has the id {id!r}")
        return self._found[row]

    def search(self, text: str, limit: int = 10) -> list[Entity]:
        """Those whose id is `text`, then those one of whose names begins with it, then those one of
        whose names holds it, whatever the case, aliases included; each in the order of the
        knowledge base."""
        wanted = folded(text.strip())
        own = self._row.get(canonical(text.strip()))
        found = [] if own is None else [own]
        if wanted:
            named = list(enumerate(self._folded))
            found += [i for i, names in named if any(n.startswith(wanted) for n in names)]
            found += [i for i, names in named if any(wanted in n for n in names)]
        return [self._found[row] for row in list(dict.fromkeys(found))[:limit]]
