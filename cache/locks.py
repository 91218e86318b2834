"""Who works on what: one process a step, and a second one waits and says for whom.

A lock is a file that stays; the system frees it when its holder ends, however that ends. Some
network disks lock nothing, so no store's wholeness rests on it: a lock spares work, and keeps
commands of different settings out of each other's folders.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache.errors import MelovError

logger = logging.getLogger(__name__)

_CANNOT_LOCK = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK)
_MOST = 4096
"""Bytes of a lock file that are read."""


class BusyError(MelovError):
    """Another process works on the same thing with other settings."""


@contextmanager
def working(lock: Path, doing: str, together: str | None = None) -> Iterator[None]:
    """Hold a lock; wait for whoever has it, saying so.

    Args:
        lock: the lock's file; it is made, its folder too, and stays.
        doing: what this process does, for the message that others show.
        together: settings under which several processes may hold the lock at once; None keeps all
            others out.

    Raises:
        BusyError: others hold it together, with other settings.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _taken(handle, fcntl.LOCK_EX):
            if together is not None and _joined(handle, lock, together):
                yield
                return
            logger.warning("%s: %s; waiting until it ends", lock, _holder(handle))
            _taken(handle, fcntl.LOCK_EX, wait=True)
        _sign(handle, doing, together)
        if together is not None:
            _taken(handle, fcntl.LOCK_SH, wait=True)
            if _said(handle).get("together") != together:  # somebody came between the two
                raise BusyError(f"{lock}: {_holder(handle)}", "run the same command again")
        yield
    finally:
        if _taken(handle, fcntl.LOCK_EX):  # the last one leaves an empty file
            os.ftruncate(handle, 0)
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that one thread of one process has at a time, where the disk knows locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _taken(handle, fcntl.LOCK_EX, wait=True)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether somebody reads the folder (`hold`); False where the disk knows no locks."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return not _taken(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def hold(handle: int) -> None:
    """Keep an opened folder from being swept (`is_held`) for as long as it is open."""
    _taken(handle, fcntl.LOCK_SH)


def _joined(handle: int, lock: Path, together: str) -> bool:
    """Whether others hold the lock together under the same settings, and now we do, too."""
    if not _taken(handle, fcntl.LOCK_SH):
        return False
    if _said(handle).get("together") != together:
        raise BusyError(
            f"{lock}: {_holder(handle)}, with other settings",
            "wait until it ends, or give the same settings",
        )
    return True


def _taken(handle: int, how: int, wait: bool = False) -> bool:
    try:
        fcntl.flock(handle, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno not in _CANNOT_LOCK:
            raise
    return True


def _sign(handle: int, doing: str, together: str | None) -> None:
    said = {
        "doing": doing,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(sys.argv)[:1000],
        "together": together,
    }
    os.ftruncate(handle, 0)
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a word
        os.pwrite(handle, json.dumps(said).encode(), 0)


def _holder(handle: int) -> str:
    said = _said(handle)
    if not said:
        return "another process works on it"
    return f"process {said.get('process')} on {said.get('host')} works on it ({said.get('doing')})"


def _said(handle: int) -> dict[str, Any]:
    try:
        said = json.loads(os.pread(handle, _MOST, 0))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
