"""JSON files that carry a checksum of their own, and vouch for the files beside them.

    write_sealed(folder / "graph.json", content, beside=[folder / "train.npz"])
    index = Sealed.read(folder / "graph.json", hint="python -m pipeline.graph ...")
    index.content, index.bytes_of("train.npz")

A sealed file is one JSON object. Its last two keys are `files`, the BLAKE2b-128 of every file it
vouches for, and `seal`, the BLAKE2b-128 of the whole text with an empty seal. A reader writes the
text again and compares, so that no changed byte passes, not even a blank.
"""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cache.errors import DamagedError, MelovError
from cache.files import atomic_path, complete

FILES, SEAL = "files", "seal"


@dataclass(frozen=True)
class Sealed:
    """An index file that was whole when it was read.

    Args:
        path: of the file.
        content: its own keys, without `files` and `seal`.
        files: name -> BLAKE2b-128 (hex) of the files that it vouches for, in its folder; of those
            below it the path from there.
        seal: its own checksum: of content and files, so it names everything.
        hint: the command that makes it again, for messages.
    """

    path: Path
    content: dict[str, Any]
    files: dict[str, str]
    seal: str
    hint: str | None

    @classmethod
    def read(cls, path: Path, hint: str | None = None) -> Sealed:
        """Read and compare the file itself, and none that it vouches for.

        A replacement that a kill has left half-way is finished first.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it is no sealed file, or a byte of it has changed.
        """
        with suppress(OSError):  # of a disk that can only be read; what is found is compared
            complete(path.parent, path.name)
        try:
            data = _bytes(path)
        except IsADirectoryError:
            _damaged(path, "no regular file", hint)
        try:
            content = json.loads(data)
            if isinstance(content, dict) and SEAL not in content:
                _damaged(path, "it has no seal: an older version wrote it, or it was edited", hint)
            seal, files = content.pop(SEAL), content.pop(FILES)
            if _text(content, files, seal).encode() != data:
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            _damaged(path, "its bytes are not those that its seal tells of", hint)
        if seal != _seal(content, files):
            _damaged(path, "its bytes are not those that its seal tells of", hint)
        return cls(path, content, files, seal, hint)

    def bytes_of(self, name: str) -> bytes:
        """A whole file that it vouches for.

        Raises:
            DamagedError: the file is missing or another one; or the index does not name it.
            MelovError: another process has replaced both meanwhile.
        """
        path = self.path.parent / name
        try:
            data = _bytes(path)
        except OSError as error:
            self._refuse(path, error.strerror or str(error))
        if self._said(name) != digest_of(data):
            self._refuse(path, f"its bytes are not those that {self.path.name} tells of")
        return data

    def require(self, name: str) -> None:
        """As `bytes_of`, for a file of any size: read, compared, not kept."""
        path = self.path.parent / name
        try:
            found = digest(path)
        except OSError as error:
            self._refuse(path, error.strerror or str(error))
        if self._said(name) != found:
            self._refuse(path, f"its bytes are not those that {self.path.name} tells of")

    def _refuse(self, path: Path, what: str) -> NoReturn:
        """A file that does not fit: of a newer replacement, whose index came after, or damaged."""
        with suppress(OSError, DamagedError):
            if Sealed.read(self.path).seal != self.seal:
                again = "run the same command again"
                raise MelovError(f"{path}: replaced while it was read", again)
        _damaged(path, what, self.hint)

    def _said(self, name: str) -> str:
        if name not in self.files:
            _damaged(self.path, f"it tells nothing of {name}", self.hint)
        return str(self.files[name])


def write_sealed(
    path: Path, content: Mapping[str, Any], beside: Iterable[Path] = (), atomic: bool = True
) -> None:
    """Write an index file, at once.

    Args:
        content: JSON; the same content gives the same bytes. No key `files` or `seal`.
        beside: finished files that it vouches for, in its folder or below.
        atomic: replace an older file at once; False where `path` lies in a folder that will.

    Raises:
        ValueError: the content has NaN or one of the two keys.
    """
    if {FILES, SEAL} & content.keys():
        raise ValueError(f"{path}: {FILES} and {SEAL} are the file's own keys")
    files = {file.relative_to(path.parent).as_posix(): digest(file) for file in beside}
    text = _text(dict(content), files, _seal(dict(content), files))
    if atomic:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    else:
        path.write_text(text, encoding="utf-8")


def digest(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    _require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_of(data: bytes) -> str:
    """BLAKE2b-128, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _bytes(path: Path) -> bytes:
    _require_regular(path)
    return path.read_bytes()


def _require_regular(path: Path) -> None:
    """A pipe would be waited for. Raises OSError as opening the file would."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise IsADirectoryError(errno.EISDIR, "no regular file", str(path))


def _text(content: dict[str, Any], files: Any, seal: str) -> str:
    whole = {**content, FILES: files, SEAL: seal}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _seal(content: dict[str, Any], files: Any) -> str:
    return digest_of(_text(content, files, "").encode())


def _damaged(path: Path, what: str, hint: str | None) -> NoReturn:
    raise DamagedError(f"{path}: damaged: {what}", hint)
