"""One project folder that is damaged, used and put back, again and again.

    place = Workspace(folder)
    place.write("data/tiny/graph/train.npz", b"")
    ended = place.run("evaluate", ...)
    place.changed()     # files that are not as they were built
    place.restore()

It stays at one path, as the keys of pictures do that are remembered with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.children import Ended, command

CLOCK = 100_000_000
"""Nanoseconds, several steps of the clock that file systems go by."""
VOLATILE = ("/.locks/", "timings.json", "/picture-keys.parquet")
"""Parts of names of files that may differ between two runs: who works, how long it took, when
pictures were last written."""


class Workspace:
    """Args:
    root: a project's folder, as it is to be; links to folders are not followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[str, Seen] = {}
        self.built = self.now()
        self._built_folders = self._folders()

    def now(self) -> dict[str, bytes]:
        """Every file's content, by its path in the project."""
        return contents(self.root, self._seen)

    def changed(
        self, wanted: dict[str, bytes] | None = None, but: Iterable[str] = ()
    ) -> dict[str, str]:
        """Files that are not as they should be, and what became of them; no volatile ones.

        Args:
            wanted: how they should be; None: as they were built.
            but: paths that are not looked at.
        """
        found = differences(self.now(), self.built if wanted is None else wanted)
        return {name: what for name, what in found.items() if name not in set(but)}

    def run(
        self, step: str, arguments: Sequence[str], first: Callable[[], None] = lambda: None
    ) -> Ended:
        """A command in a fork, as `children.command` says."""
        return command(self.root, step, arguments, first)

    def read(self, name: str) -> bytes | None:
        """A file's content now; None where it is not there."""
        try:
            return (self.root / name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, content: bytes | None) -> None:
        """Replace a file; None removes it."""
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def restore(self) -> None:
        """Make every file what it was, volatile ones too, and remove whatever else is there."""
        now = self.now()
        for name in now.keys() - self.built:
            (self.root / name).unlink()
        for name, content in self.built.items():
            if now.get(name) != content:
                self.write(name, content)
        for folder in sorted(self._folders() - self._built_folders, reverse=True):
            os.rmdir(self.root / folder)
        for folder in self._built_folders:
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def _folders(self) -> set[str]:
        return _below(self.root)[1]


def differences(now: dict[str, bytes], wanted: dict[str, bytes]) -> dict[str, str]:
    """What became of files, by name; volatile ones are left out."""
    found = {}
    for name in sorted(now.keys() | wanted):
        if is_volatile(name):
            continue
        if name not in now:
            found[name] = "gone"
        elif name not in wanted:
            found[name] = "new"
        elif now[name] != wanted[name]:
            found[name] = "other content"
    return found


def digests(root: Path) -> dict[str, bytes]:
    """A digest of every file below `root`, by its path there."""
    return {name: hashlib.sha256(content).digest() for name, content in contents(root).items()}


def contents(root: Path, seen: dict[str, Seen] | None = None) -> dict[str, bytes]:
    """Every regular file below `root`, by its path there; links to folders are not followed.

    Args:
        seen: what was read before, to be brought up to date: a file that has not been touched since
            is not read again.
    """
    found = {}
    for place, file in _below(root)[0].items():
        known = None if seen is None else seen.get(place)
        if known is None or not known.is_of(file.stat()):
            known = Seen.at(file.path)
        if seen is not None:
            seen[place] = known
        found[place] = known.content
    return found


def _below(root: Path) -> tuple[dict[str, os.DirEntry[str]], set[str]]:
    """Files and folders by their paths below `root`; a link to a folder is neither. Not os.walk,
    which takes several times as long, some ten thousand times a campaign."""
    files: dict[str, os.DirEntry[str]] = {}
    folders: set[str] = set()
    left = [""]
    while left:
        folder = left.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                place = f"{folder}{entry.name}"
                if not entry.is_dir():
                    files[place] = entry
                elif not entry.is_symlink():
                    folders.add(place)
                    left.append(f"{place}/")
    return files, folders


@dataclass(frozen=True)
class Seen:
    """A file as it was read.

    Args:
        state: whatever a change of the file changes: the system sets the time of the last change,
            and no program can set it back.
        settled: whether that time was past for so long that a later change has another one.
    """

    content: bytes
    state: tuple[int, ...]
    settled: bool

    @classmethod
    def at(cls, path: str) -> Seen:
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            settled = time.time_ns() - before.st_ctime_ns > CLOCK
            return cls(file.read(), _state(before), settled)

    def is_of(self, now: os.stat_result) -> bool:
        return self.settled and self.state == _state(now)


def _state(of: os.stat_result) -> tuple[int, ...]:
    return of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns


def is_volatile(name: str) -> bool:
    return any(part in f"/{name}" for part in VOLATILE)
