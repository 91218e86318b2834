"""Names of files as sources spell them, and as their folders do.

macOS decomposes the names that it writes (NFD); JSON mostly has them composed (NFC). On Linux these
are two names, and a picture of a zip from a Mac would be missing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from stages.unicode import canonical


class Names:
    """The names in one folder, listed once."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self._names = names

    @classmethod
    def of(cls, folder: Path) -> Names | None:
        """None if there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                return cls(frozenset(entry.name for entry in entries))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: str) -> str | None:
        """`name` where it is there, else the one name that is canonically equal to it; None where
        there is none, or several."""
        if name in self._names:
            return name
        return None if name.isascii() else self._other_forms.get(canonical(name))

    @cached_property
    def _other_forms(self) -> dict[str, str]:
        found: dict[str, str] = {}
        several = set()
        for name in self._names:
            if not name.isascii() and found.setdefault(form := canonical(name), name) != name:
                several.add(form)
        return {form: name for form, name in found.items() if form not in several}


class Spellings:
    """Paths below a folder, as the file system spells them.

    Args:
        root: the folder; an absolute path is one of its own.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[PurePosixPath, Names] = {}

    def of(self, path: str) -> str:
        """`path` where it is there or nothing like it is, else the one that is canonically equal.

        Only paths that are not ASCII cost a look at the disk.
        """
        if path.isascii() or os.path.lexists(self._root / path):
            return path
        parts = PurePosixPath(path).parts
        found = PurePosixPath()
        for part in parts:
            spelled = part if part == "/" else self._names(found).find(part)
            if spelled is None:
                return path
            found /= spelled
        return path if found.parts == parts else str(found)

    def _names(self, folder: PurePosixPath) -> Names:
        if folder not in self._folders:
            names = None
            with suppress(OSError):  # one that cannot be listed: its files are told one by one
                names = Names.of(self._root / folder)
            self._folders[folder] = names or Names()
        return self._folders[folder]
