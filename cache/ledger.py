"""Which units of a store are written: one line each, its CRC-32 and JSON; one file a writer.

A process appends to a file of its own, so that no lock is needed, on whatever storage; all read
the union of the files.
"""

import logging
import os
import secrets
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cache.errors import MelovError
from cache.fingerprint import canonical
from cache.strict import parse_json

logger = logging.getLogger(__name__)

# One for the process: a ledger may be pickled. Never held by another thread across a fork.
_LOCK = threading.Lock()
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


class Part(NamedTuple):
    """Rows `start … start + rows` of one array, and the CRC-32 of those of each chunk file."""

    array: str
    start: int
    rows: int
    crc32: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A unit that is on the disk."""

    unit: str
    parts: tuple[Part, ...]
    note: Any = None


class Ledger:
    """The union of all writers' files in one folder.

    Args:
        folder: an existing one. Without it every method raises FileNotFoundError.
        intact: whether the disk holds the bytes that an entry speaks of.
    """

    def __init__(self, folder: Path, intact: Callable[[Entry], bool]) -> None:
        self.folder = folder
        self._intact = intact
        self._entries: dict[str, Entry] = {}
        self._read: dict[str, int] = {}  # bytes of complete lines taken in, by file

    def entries(self) -> dict[str, Entry]:
        """Finished units by name, with what others appended since the last call."""
        with _LOCK:
            for file in sorted(os.scandir(self.folder), key=lambda file: file.name):
                if file.stat().st_size > self._read.get(file.name, 0):
                    for entry in self._news(Path(file.path)):
                        self._take(entry)
            return self._entries

    def verify(self) -> None:
        """Read all units back; those that are damaged count as not done, until written again."""
        for entry in list(self.entries().values()):
            if not self._intact(entry):
                logger.warning("%s: %s is damaged; writing it again", self.folder, entry.unit)
                self._entries.pop(entry.unit, None)

    def append(self, entry: Entry) -> None:
        """Add a line, down to the disk.

        Raises:
            OSError: with ENOSPC if the disk is full; what was written of the line is ignored later.
        """
        # A line break first, too: a full disk may have left half a line before this one.
        said = canonical(asdict(entry)).encode()
        data = b"\n%08x %s\n" % (zlib.crc32(said), said)
        with _LOCK, (self.folder / f"{_writer(os.getpid())}.jsonl").open("ab", buffering=0) as file:
            while data:
                data = data[os.write(file.fileno(), data) :]
            os.fsync(file.fileno())

    def _news(self, path: Path) -> Iterator[Entry]:
        with path.open("rb") as file:
            file.seek(self._read.get(path.name, 0))
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._read[path.name] = self._read.get(path.name, 0) + len(complete)
        for line in filter(None, complete.splitlines()):
            crc, _, said = line.partition(b" ")
            if crc != b"%08x" % zlib.crc32(said):
                logger.warning("%s: a line is torn; its unit will be written again", path)
                continue
            entry = _entry(said)
            if entry is None:
                logger.warning("%s: a line tells of no unit; it is passed over", path)
            else:
                yield entry

    def _take(self, new: Entry) -> None:
        """Of two writers that disagree (two machines differ in last bits) the disk is right."""
        known = self._entries.get(new.unit)
        if known is None or known.parts == new.parts or self._intact(new):
            self._entries[new.unit] = new
        elif not self._intact(known):
            del self._entries[new.unit]


def _entry(said: bytes) -> Entry | None:
    """What a line with a right checksum tells; None where no `append` wrote it."""
    try:
        raw = parse_json(said, "a line")
        parts = [Part(name, start, rows, tuple(crcs)) for name, start, rows, crcs in raw["parts"]]
        entry = Entry(raw["unit"], tuple(parts), raw["note"])
    except (MelovError, ValueError, TypeError, KeyError):
        return None
    numbers = [number for part in parts for number in (part.start, part.rows, *part.crc32)]
    names = [entry.unit, *(part.array for part in parts)]
    fits = all(type(n) is int and n >= 0 for n in numbers) and all(type(n) is str for n in names)
    return entry if fits else None


@lru_cache(maxsize=1)
def _writer(pid: int) -> str:
    """This process among all writers: a forked one has another `pid`."""
    return f"{socket.gethostname()}-{pid}-{secrets.token_hex(4)}"
