"""The pictures table: one row a distinct path, with a hash of the file's bytes.

A row whose file is missing, empty or unreadable stays in the table: marked by its status, counted
as a finding, and with an empty key, since there is nothing that an encoder could see.
"""

import hashlib
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pyarrow as pa
from tqdm import tqdm

from cache.strict import short
from stages.datasets.findings import Findings
from stages.datasets.names import Spellings
from stages.datasets.records import PICTURE_SCHEMA, RecordsError
from stages.datasets.remembered import remember, remembered
from stages.limits import PATH_CHARACTERS

GROUP = 128
"""Files a task: one future a file costs more memory than the table at 130,000 files."""
THREADS = 8
"""Hashing releases the GIL, and waiting for a disk needs no core."""

PROBLEMS = {
    "missing": "pictures (distinct paths) that are named but not there",
    "empty": "pictures (distinct paths) of zero bytes",
    "unreadable": "pictures (distinct paths) that are a folder or cannot be read",
}


def inner_path(name: str, where: str) -> str:
    """`name`, a path that must stay inside the folder that it is relative to.

    Raises:
        RecordsError: `name` is absolute or climbs with `..`; `where` names the record.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise RecordsError(
            f"{where}: image path {short(name)} leads out of the image folder",
            "expected a file name inside that folder",
        )
    return name


Identity = tuple[str, int, int, int, int]
"""Path, size, mtime_ns, ctime_ns, inode: other bytes come with others. No program sets ctime."""


class KeyCache:
    """Digests by what the file system says of a file, so that a second run only stats.

    The file is Parquet behind a checksum; a damaged one is passed over. What was written within
    RACY of being hashed is not kept, since a second change could leave the same times.

    Args:
        path: None, or a damaged file, starts empty.
    """

    SCHEMA = pa.schema(
        [
            ("path", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("ctime_ns", pa.int64()),
            ("inode", pa.uint64()),
            ("key", pa.string()),
        ]
    )
    NAME = "picture-keys.parquet"
    RACY = 2_000_000_000
    """Nanoseconds: the coarsest clock of a file system in use."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        *identity, keys = remembered(path, self.SCHEMA, "hashing every picture again").values()
        self._known: dict[Identity, str] = dict(zip(zip(*identity, strict=True), keys, strict=True))
        self._used: dict[Identity, str] = {}

    def digest(self, path: str, state: os.stat_result) -> str:
        """blake2b-128 of a regular file in hex, read only if it is new or changed."""
        identity = (path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        key = self._known.get(identity)
        if key is None:
            with open(path, "rb", opener=_without_waiting) as file:
                key = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > self.RACY:
            self._used[identity] = key
        return key

    def save(self) -> None:
        """Write what this run used, so that deleted pictures leave the cache too."""
        if self.path is None:
            return
        columns = list(zip(*self._used, strict=True)) if self._used else [()] * 5
        table = pa.table([*columns, list(self._used.values())], schema=self.SCHEMA)
        remember(self.path, table)


class PictureTable:
    """Collects distinct paths, in the order in which they are first met.

    Args:
        root: the folder that they are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spellings = Spellings(root)
        self._rows: dict[str, int] = {}
        self._paths: list[str] = []
        self._named_by: list[str] = []
        self._other_form: list[str] = []
        self._too_long: list[str] = []

    def __len__(self) -> int:
        return len(self._paths)

    def row(self, path: str, where: str) -> int:
        """The row of `path`, -1 for one that is too long to be there; `where` is the record that
        names it, for the findings."""
        if len(path) > PATH_CHARACTERS:
            self._too_long.append(f"{where}: {len(path):,} characters")
            return -1
        if path not in self._rows:
            spelled = self._spellings.of(path)
            if spelled != path:
                self._other_form.append(f"{path} ({where})")
            self._rows[path] = self._rows.setdefault(spelled, len(self._paths))
            if self._rows[path] == len(self._paths):
                self._paths.append(spelled)
                self._named_by.append(where)
        return self._rows[path]

    def build(self, findings: Findings, keys: KeyCache | None = None) -> pa.Table:
        """Hash every file in threads; counts what is missing, empty, unreadable.

        Returns:
            The table of PICTURE_SCHEMA, (distinct paths) rows; key "" and 0 bytes unless status
            `ok`.
        """
        for example in self._too_long:
            what = f"image paths of more than {PATH_CHARACTERS:,} characters, read as no picture"
            findings.add("image-path-beyond-limit", what, example)
        for example in self._other_form:
            what = "image paths in another Unicode form than the file's name, which is read"
            findings.add("image-path-other-form", what, example)
        keys, paths = keys or KeyCache(), self._paths
        groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]

        def measure_group(group: list[str]) -> list[tuple[str, int, str]]:
            return [_measure(os.path.join(self._root, path), keys) for path in group]

        measured: list[tuple[str, int, str]] = []
        with (
            ThreadPoolExecutor(THREADS) as pool,
            tqdm(
                total=len(paths), desc="hashing pictures", unit="file", delay=2, mininterval=1
            ) as bar,
        ):
            for result in pool.map(measure_group, groups):
                measured += result
                bar.update(len(result))

        for path, where, (_, _, status) in zip(paths, self._named_by, measured, strict=True):
            if status != "ok":
                findings.add(f"picture-{status}", PROBLEMS[status], f"{path} ({where})")
        keys_, sizes, states = zip(*measured, strict=True) if measured else ((), (), ())
        return pa.table([paths, keys_, sizes, states], schema=PICTURE_SCHEMA)


def _without_waiting(path: str, flags: int) -> int:
    """For a file that became a pipe since it was looked at."""
    return os.open(path, flags | os.O_NONBLOCK)


def _measure(path: str, keys: KeyCache) -> tuple[str, int, str]:
    """Key, bytes and status of one file."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            return "", 0, "unreadable"
        if state.st_size == 0:
            return "", 0, "empty"
        return keys.digest(path, state), state.st_size, "ok"
    except (FileNotFoundError, NotADirectoryError):
        return "", 0, "missing"
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return "", 0, "unreadable"
