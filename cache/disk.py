"""The disk's own calls: space, writing down to the platter, and what a full disk says."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cache.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a disk, or a quota, that is used up."""
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def unique() -> str:
    """A part of a name that no other process and no other call gets."""
    return secrets.token_hex(8)


def full_error(path: Path) -> OSError:
    """What the system raises on a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def naming(path: Path, scratch: Path) -> Iterator[None]:
    """Errors of the disk in the block name what was to be written.

    A write of Python's own names no file, nor does pyarrow; others name a temporary one.

    Args:
        path: what the block makes.
        scratch: a file or a folder under another name that will become `path`, or the files in it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in (*FULL, errno.EFBIG):
            error.filename, error.strerror = str(path), os.strerror(error.errno)
        elif isinstance(error.filename, str) and Path(error.filename).is_relative_to(scratch):
            error.filename = str(path / Path(error.filename).relative_to(scratch))
        raise


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
    """Write `data` (uint8) in place, down to the disk, and zeros up to `size` bytes.

    Raises:
        FileNotFoundError: the file's folder is not there.
        OSError: with ENOSPC if the disk is full, also when it says so by writing nothing.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if len(data) < size:
            data = np.concatenate([data, np.zeros(size - len(data), np.uint8)])
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


def sync_file(path: Path) -> None:
    """Bring a file's bytes down to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
