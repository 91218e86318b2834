"""Which files are opened below a folder, whoever opens them: Python, Rust or C."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPEN, _FOLDER = 0x20, 0x40000000  # of linux/inotify.h


@contextmanager
def opens_below(folder: Path) -> Iterator[set[Path]]:
    """The set is filled when the block ends. By Linux's inotify, so it is of this machine's files.

    An audit hook would see what Python opens alone, and safetensors and tokenizers are not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watcher < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    folders = {}
    opened: set[Path] = set()
    try:
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            number = libc.inotify_add_watch(watcher, os.fsencode(path), _OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
            folders[number] = path
        yield opened
        opened.update(_events(watcher, folders))
    finally:
        os.close(watcher)


def _events(watcher: int, folders: dict[int, Path]) -> Iterator[Path]:
    while True:
        try:
            data = os.read(watcher, 2**16)
        except BlockingIOError:
            return
        while data:
            number, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0")
            if name and not mask & _FOLDER:
                yield folders[number] / os.fsdecode(name)
            data = data[16 + length :]
