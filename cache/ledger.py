"""Which units of a store are written, one JSON line each, in a file beside the group."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cache.files import locked
from cache.fingerprint import canonical

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """Rows `start … start + rows` of one array, and the CRC-32 of their bytes."""

    array: str
    start: int
    rows: int
    crc32: int


@dataclass(frozen=True)
class Entry:
    """A unit that is on the disk.

    `redo` takes an earlier line of the same unit back: its data was found damaged.
    """

    unit: str
    parts: tuple[Part, ...] = ()
    note: Any = None
    redo: bool = False


class Ledger:
    """The lines of one file; several processes may append, each sees the others' lines.

    A later line of a unit replaces an earlier one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Entry] = {}
        self._read = 0  # bytes of complete lines taken in

    def entries(self) -> dict[str, Entry]:
        """Finished units by name, with what others appended since the last call."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return self._entries
        start = self._read
        if size > start:
            with self.path.open("rb") as file:
                file.seek(start)
                text = file.read()
            complete = text[: text.rfind(b"\n") + 1]
            for line in complete.splitlines():
                self._take(line)
            # Not `+=`: of two threads here at once, one may read lines twice but neither skips any.
            self._read = start + len(complete)
        return self._entries

    def _take(self, line: bytes) -> None:
        if not line:
            return
        try:
            raw = json.loads(line)
            parts = tuple(Part(*part) for part in raw["parts"])
            entry = Entry(raw["unit"], parts, raw["note"], raw["redo"])
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: a line is torn; its unit will be written again", self.path)
            return
        if entry.redo:
            self._entries.pop(entry.unit, None)
        else:
            self._entries[entry.unit] = entry

    def append(self, entry: Entry) -> None:
        """Add a line, down to the disk.

        Raises
        ------
        OSError: with ENOSPC if the disk is full; what was written of the line is ignored later.
        """
        # A line break first, too: a kill may have left half a line before this one.
        data = f"\n{canonical(asdict(entry))}\n".encode()
        with locked(self.path) as handle:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
