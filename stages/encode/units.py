"""The units of work: whole batches of consecutive rows, and whole chunk files of every array.

A unit's bytes depend on its rows and the batch size alone, never on which unit ran before, and no
two units touch one file. So any number of processes may write on any storage, and an extraction
that was killed ends with the same bytes as one that was not.

A unit is `UNIT_BATCHES` batches. A chunk file of an array with a row a text or a picture has a
unit's rows, or an equal share of them where that is more than 64 MiB: files of 1 MiB and 39 MiB at
CLIP's widths and the default batches, 254 and 127 of them a array for 130,000 pictures and texts. A
unit's tokens are as many as its texts happen to have. They fill whole chunk files, `TOKEN_CHUNKS` a
unit on average, and the rest of a unit's last one stays unused (zeros): about half a chunk a unit,
7 % of all. `texts/offsets` says where each text lies.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.layout import CHUNK_BYTES

UNIT_BATCHES = 8
"""Batches a unit: a kill loses at most these, and the ledger stays short."""
TOKEN_CHUNKS = 8
"""Chunk files of tokens a unit: more would be small ones, fewer would leave more rows unused."""


@dataclass(frozen=True)
class WorkUnit:
    """Rows [lo, hi) of the texts, of the pictures or of the pairs."""

    kind: str
    lo: int
    hi: int

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.lo}-{self.hi}"

    @property
    def rows(self) -> int:
        return self.hi - self.lo


@dataclass(frozen=True)
class Encoded:
    """What a unit writes, as (array, first row, rows), and its note."""

    parts: list[tuple[str, int, np.ndarray]]
    note: Any = None


def units_of(kind: str, rows: int, batch: int) -> list[WorkUnit]:
    step = UNIT_BATCHES * batch
    return [WorkUnit(kind, lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def chunk_rows(batch: int, row_bytes: int) -> int:
    """Rows of a chunk file of an array with a row a text, a picture or a pair."""
    rows = UNIT_BATCHES * batch
    most = max(1, CHUNK_BYTES // max(1, row_bytes))
    return max(share for share in range(1, min(rows, most) + 1) if rows % share == 0)


@dataclass(frozen=True)
class TokenPlaces:
    """Where the tokens of n texts lie in `texts/local`.

    Args:
        offsets: int64, [start, stop) of each text, shape: (n, 2).
        spans: [start, stop) of each unit's chunk files, unused rows included.
        chunk_rows: rows of a chunk file.
    """

    offsets: np.ndarray
    spans: dict[WorkUnit, tuple[int, int]]
    chunk_rows: int

    @classmethod
    def of(cls, lengths: Sequence[int], units: Sequence[WorkUnit], row_bytes: int) -> TokenPlaces:
        """Unit after unit, each on chunk files of its own; within one, text after text."""
        stops = np.cumsum([0, *lengths], dtype=np.int64)  # as if no row were unused
        tokens = np.array([stops[unit.hi] - stops[unit.lo] for unit in units], np.int64)
        most = max(1, CHUNK_BYTES // max(1, row_bytes))
        # All but a unit's last file are full: TOKEN_CHUNKS - 1 full ones make it TOKEN_CHUNKS.
        size = min(-(-int(stops[-1]) // max(1, (TOKEN_CHUNKS - 1) * len(units))), most) or 1
        ends = np.cumsum(-(-tokens // size) * size).tolist()
        spans = dict(zip(units, zip([0, *ends], ends, strict=False), strict=True))
        offsets = np.stack([stops[:-1], stops[1:]], axis=1)
        for unit, (start, _) in spans.items():
            offsets[unit.lo : unit.hi] += start - stops[unit.lo]
        return cls(offsets, spans, size)

    def __len__(self) -> int:
        """Rows of `texts/local`, unused ones included."""
        return max((stop for _, stop in self.spans.values()), default=0)

    def filled(self, unit: WorkUnit, tokens: np.ndarray) -> tuple[int, np.ndarray]:
        """The unit's first row of `texts/local`, and its tokens with zeros in the unused rows."""
        start, stop = self.spans[unit]
        rows = np.zeros((stop - start, *tokens.shape[1:]), tokens.dtype)
        rows[: len(tokens)] = tokens
        return start, rows


class Walk:
    """One process's way through units that several may work on: iterate over it.

    It looks into the ledgers again before each unit. Units are taken one after the other; where
    another process has been already, the walk goes on at any unit that nobody has done. Drawn, so
    that no two processes keep meeting; a unit's bytes do not depend on when it is done.
    """

    def __init__(self, units: Sequence[WorkUnit], done: Callable[[str], bool]) -> None:
        self._units, self._done = units, done
        self._taken: set[int] = set()
        self.met = False
        """Set it where another process has done the same unit as this one at the same time."""

    def is_done(self, unit: WorkUnit) -> bool:
        return self._done(unit.name)

    def __iter__(self) -> Iterator[WorkUnit]:
        place = 0
        while True:
            if self.met or not self._is_left(place):
                self.met = False
                left = [place for place in range(len(self._units)) if self._is_left(place)]
                if not left:
                    return
                place = secrets.choice(left)
            self._taken.add(place)
            yield self._units[place]
            place += 1

    def _is_left(self, place: int) -> bool:
        inside = place < len(self._units) and place not in self._taken
        return inside and not self.is_done(self._units[place])
