"""File operations that survive a kill and a full disk."""

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cache.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a disk, or a quota, that is used up."""
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_CANNOT_LOCK = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK)


def unique() -> str:
    """A part of a name that no other process and no other call gets."""
    return secrets.token_hex(8)


def full_error(path: Path) -> OSError:
    """What the system raises on a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def telling_full(folder: Path, doing: str, needed: Callable[[], int]) -> Iterator[None]:
    """Turn a full disk into a message.

    Args:
        folder: an existing one on that disk.
        doing: such as `writing rows:0`.
        needed: bytes that are still to be written.

    Raises:
        StoreError: an OSError in the block said that the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        wanted, free = needed(), shutil.disk_usage(folder).free
        # A quota or a reserve for root may be what is full: then the disk's own figure says little.
        short = wanted - free if wanted > free else wanted
        raise StoreError(
            f"{folder}: disk full while {doing}: {wanted:,} bytes more are needed, "
            f"{free:,} are free",
            f"free {short:,} bytes and run the same command again",
        ) from error


def allocate(path: Path, size: int) -> None:
    """Create `path` with `size` zero bytes, their space reserved.

    Raises:
        OSError: with ENOSPC if the space is not there.
    """
    # Not for a file that others may write: some systems reserve by writing zeros.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.posix_fallocate(handle, 0, size)
    except (AttributeError, OSError) as error:
        # macOS has no such call and some network disks refuse it: reserve nothing there.
        if isinstance(error, OSError) and error.errno not in _CANNOT_ALLOCATE:
            raise
        os.truncate(handle, size)
    finally:
        os.close(handle)


def write_padded(path: Path, data: np.ndarray, size: int) -> None:
    """Write `data` (uint8) in place, down to the disk; the file has `size` bytes then.

    Bytes behind the data are not touched, and are zeros where the file had none.

    Raises:
        FileNotFoundError: the file's folder is not there.
        OSError: with ENOSPC if the disk is full, also when it says so by writing nothing.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        view, offset = data.data, 0
        while view:
            count = os.pwrite(handle, view, offset)
            if count == 0:
                raise full_error(path)
            view, offset = view[count:], offset + count
        if os.fstat(handle).st_size != size:
            os.truncate(handle, size)
        os.fsync(handle)
    finally:
        os.close(handle)


def children(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing where it is gone, as it may be at any moment."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that one thread of one process has at a time, where the disk knows locks.

    A help that saves work done twice; some network disks lock nothing, so nothing may rest on it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                raise
        yield
    finally:
        os.close(handle)


@contextmanager
def atomic_path(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A temporary name, renamed onto `path` when the block ends without an error.

    The file's bytes reach the disk before the name does, so a kill leaves the old file or the new.

    Args:
        scratch: an existing folder on the same disk for the temporary file; None puts it beside
            `path`, whose folder is created.
    """
    if scratch is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    folder = scratch or path.parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place when the block ends without an error.

    What was at `path` before stays until then; after a kill it is the old folder or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.rename(Path(scratch) / "old")
        fresh.rename(path)
