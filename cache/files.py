"""Files and folders that replace others at once: whoever is killed, the old or the new is there."""

import ctypes
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cache.disk import children, naming, sync_file, sync_folder, unique

_DAY = 24 * 3600
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2)."""
_WHOLE = ".whole"
"""Ends the name of a folder whose files have all been written, and are about to move."""


@contextmanager
def atomic_path(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A temporary name, renamed onto `path` when the block ends without an error.

    The file's bytes reach the disk before the name does, so a kill leaves the old file or the new.
    What a killed writer of the same file left is removed.

    Args:
        scratch: an existing folder on the same disk for the temporary file; None puts it beside
            `path`, whose folder is created.
    """
    if scratch is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    folder = scratch or path.parent
    remove_leftovers(folder, path.name)
    temporary = folder / temporary_name(path.name)
    try:
        with naming(path, temporary):
            temporary.touch(exist_ok=False)
            yield temporary
            sync_file(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: Path, last: str) -> Iterator[Path]:
    """An empty folder whose files move into `folder` when the block ends without an error.

    Files of other names stay. A kill leaves all old files, or all new ones: once the new ones are
    whole, and their folder is renamed to say so, whoever reads or writes `last` next moves in what
    the kill has left (`complete`).

    Args:
        last: the file that vouches for the others; it moves at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    complete(folder, last)
    remove_leftovers(folder, last)
    scratch = folder / temporary_name(last)
    try:
        with naming(folder, scratch):
            scratch.mkdir()
            yield scratch
            for path in children(scratch):
                sync_file(path)
                path.chmod(0o644)
            sync_folder(scratch)
        whole = folder / f".{last}.{unique()}{_WHOLE}"
        scratch.rename(whole)
        sync_folder(folder)
        _move_in(whole, last)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def complete(folder: Path, last: str) -> None:
    """Finish a `replacing_files` that was killed amid its renames.

    Raises:
        OSError: a file cannot be moved, as on a disk that can only be read.
    """
    for path in children(folder):
        if path.name.startswith(f".{last}.") and path.name.endswith(_WHOLE):
            _move_in(path, last)


def _move_in(whole: Path, last: str) -> None:
    """Move the files of a folder beside it. Several may do so at once: a file that is gone has been
    moved by another one, and so `last` follows all others."""
    for path in sorted(children(whole), key=lambda path: (path.name == last, path.name)):
        with suppress(FileNotFoundError):
            path.replace(whole.parent / path.name)
    sync_folder(whole.parent)
    with suppress(OSError):  # another one has removed it
        whole.rmdir()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place when the block ends without an error.

    What was at `path` before stays until then. After a kill it is the old folder or the new one;
    where the system cannot exchange two folders, it may be none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    scratch = path.parent / temporary_name(path.name)
    fresh = scratch / "new"
    try:
        with naming(path, fresh):
            fresh.mkdir(parents=True)
            yield fresh
        if not (path.exists() and _exchanged(fresh, path)):
            if path.exists():
                path.rename(scratch / "old")
            fresh.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Give each of two the other's name at once, where the system can (Linux); whether it did."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    done: int = renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0


def temporary_name(name: str) -> str:
    """A hidden name for what will become `name`; it says which process writes it."""
    return f".{name}.{socket.gethostname()}.{os.getpid()}.{unique()}.tmp"


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove temporary files and folders of `name` whose writers were killed."""
    for path in children(folder):
        if path.name.startswith(f".{name}.") and path.name.endswith(".tmp") and _is_left(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs under this number."""
    with suppress(PermissionError):  # somebody else's
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True


def _is_left(path: Path) -> bool:
    """Nobody can ask another machine whether its process lives: a day without a write decides."""
    try:
        *host, pid, _, _ = path.name.split(".")
        if ".".join(host).endswith(f".{socket.gethostname()}"):
            return not is_alive(int(pid))
        return time.time() - path.stat().st_mtime > _DAY
    except (ValueError, FileNotFoundError):
        return False
