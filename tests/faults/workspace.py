"""One project folder that is damaged, used and put back, again and again.

    place = Workspace(folder)
    place.write("data/tiny/graph/train.npz", b"")
    ended = place.run("evaluate", ...)
    place.changed()     # files that are not as they were built
    place.restore()

It stays at one path, as the keys of pictures do that are remembered with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
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
        """Every regular file's content, by its path in the project."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.root)] = file.read()
        return found

    def changed(self, but: Iterable[str] = ()) -> dict[str, str]:
        """Files that are not as they were built, and what became of them; no volatile ones.

        Args:
            but: paths that are not looked at.
        """
        now, aside = self.now(), set(but)
        found = {}
        for name in sorted(now.keys() | self.built):
            if name in aside or is_volatile(name):
                continue
            if name not in now:
                found[name] = "gone"
            elif name not in self.built:
                found[name] = "new"
            elif now[name] != self.built[name]:
                found[name] = "other content"
        return found

    def run(self, step: str, arguments: Sequence[str]) -> Ended:
        return command(self.root, step, arguments)

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


def is_volatile(name: str) -> bool:
    return any(part in f"/{name}" for part in VOLATILE)
