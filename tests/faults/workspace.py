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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.faults.children import Ended, command

VOLATILE = ("/.locks/", "timings.json", "/picture-keys.parquet")
"""Parts of names of files that may differ between two runs: who works, how long it took, when
pictures were last written."""


class Workspace:
    """Args:
    root: a project's folder, as it is to be; links to folders are not followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.built = self.now()
        self._built_folders = self._folders()

    def now(self) -> dict[str, bytes]:
        """Every file's content, by its path in the project."""
        return contents(self.root)

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
        return {
            os.path.relpath(os.path.join(folder, name), self.root)
            for folder, names, _ in os.walk(self.root)
            for name in names
            if not os.path.islink(os.path.join(folder, name))
        }


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


def contents(root: Path) -> dict[str, bytes]:
    """Every regular file below `root`, by its path there; links to folders are not followed."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def is_volatile(name: str) -> bool:
    return any(part in f"/{name}" for part in VOLATILE)
