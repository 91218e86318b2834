"""Which worker does which unit: decisions alone, no process and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from stages.encode.units import WorkUnit

AHEAD = 4
"""Units that a worker has at once: one is written, one encoded, one read, and one is there in time
to be read next."""


class Dealing:
    """Units that are left, and who has which.

    A worker whose units are lost with it gives them back. One for which none is left gets a copy of
    what another has, the last that was dealt first: so neither a slow worker nor one that hangs
    keeps the others waiting. Who comes to a unit that is done already passes it over.

    Args:
        units: to be done, in this order.
    """

    def __init__(self, units: Sequence[WorkUnit]) -> None:
        self._left = deque(units)
        self._undone = dict.fromkeys(units)
        self._held: dict[str, list[WorkUnit]] = {}
        self._dealt: dict[WorkUnit, None] = {}  # in the order in which they were dealt first
        self.copies = 0

    @property
    def is_over(self) -> bool:
        return not self._undone

    def held(self, worker: str) -> list[WorkUnit]:
        """What a worker has, the longest held first."""
        return list(self._held.get(worker, ()))

    def next_for(self, worker: str) -> WorkUnit | None:
        """The unit that a worker gets now; None if it has enough, or there is none for it."""
        held = self._held.setdefault(worker, [])
        if len(held) >= AHEAD:
            return None
        while self._left:
            unit = self._left.popleft()
            if unit in self._undone:
                break
        else:
            found = None if held else self._to_copy()
            if found is None:
                return None
            unit, self.copies = found, self.copies + 1
        held.append(unit)
        self._dealt.setdefault(unit)
        return unit

    def done(self, unit: WorkUnit) -> bool:
        """Take note of a unit that is done; whether that is news."""
        for held in self._held.values():
            if unit in held:
                held.remove(unit)
        is_news = unit in self._undone
        self._undone.pop(unit, None)
        self._dealt.pop(unit, None)
        return is_news

    def lost(self, worker: str) -> None:
        """Take back what a worker had that is no more."""
        held = self._held.pop(worker, [])
        others = {unit for units in self._held.values() for unit in units}
        self._left.extendleft(unit for unit in reversed(held) if unit not in others)

    def _to_copy(self) -> WorkUnit | None:
        holders = [unit for held in self._held.values() for unit in held]
        alone = [unit for unit in self._dealt if holders.count(unit) == 1]
        return alone[-1] if alone else None
