"""The pictures table: one row a distinct path, with a hash of the file's bytes.

A row whose file is missing, empty or unreadable stays in the table: marked by its status, counted
as a finding, and with an empty key, since there is nothing that an encoder could see.
"""

import hashlib
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from cache.files import atomic_path
from stages.datasets.records import PICTURE_SCHEMA, Findings, RecordsError

logger = logging.getLogger(__name__)

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
            f"{where}: image path '{name}' leads out of the image folder",
            "expected a file name inside that folder",
        )
    return name


class KeyCache:
    """Digests by (path, size, mtime_ns), so that a second run only stats.

    Args:
        path: a Parquet file; None, or a damaged file, starts empty.
    """

    SCHEMA = pa.schema(
        [
            ("path", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("key", pa.string()),
        ]
    )

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[tuple[str, int, int], str] = {}
        self._used: dict[tuple[str, int, int], str] = {}
        if path is None or not path.exists():
            return
        try:
            columns = pq.read_table(path, schema=self.SCHEMA).to_pydict()
        except (pa.ArrowException, OSError) as error:
            logger.warning("%s: damaged, hashing every picture again (%s)", path, error)
            return
        names = zip(columns["path"], columns["size"], columns["mtime_ns"], strict=True)
        self._known = dict(zip(names, columns["key"], strict=True))

    def digest(self, path: str, size: int, mtime_ns: int) -> str:
        """blake2b-128 of the file in hex, read only if it is new or changed."""
        identity = (path, size, mtime_ns)
        key = self._known.get(identity)
        if key is None:
            with open(path, "rb") as file:
                key = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        self._used[identity] = key
        return key

    def save(self) -> None:
        """Write what this run used, so that deleted pictures leave the cache too."""
        if self.path is None:
            return
        paths, sizes, times = zip(*self._used, strict=True) if self._used else ((), (), ())
        columns = [paths, sizes, times, list(self._used.values())]
        with atomic_path(self.path) as temporary:
            pq.write_table(pa.table(columns, schema=self.SCHEMA), temporary)


class PictureTable:
    """Collects distinct paths, in the order in which they are first met."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._named_by: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, path: str, where: str) -> int:
        """The row of `path`; `where` is the record that names it, for the findings."""
        if path not in self._rows:
            self._rows[path] = len(self._rows)
            self._named_by.append(where)
        return self._rows[path]

    def build(self, root: Path, findings: Findings, keys: KeyCache | None = None) -> pa.Table:
        """Hash every file below `root` in threads; counts what is missing, empty, unreadable.

        Returns:
            The table of PICTURE_SCHEMA, (distinct paths) rows; key "" and 0 bytes unless status
            `ok`.
        """
        keys = keys or KeyCache()
        paths = list(self._rows)
        groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]

        def measure_group(group: list[str]) -> list[tuple[str, int, str]]:
            return [_measure(os.path.join(root, path), keys) for path in group]

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


def _measure(path: str, keys: KeyCache) -> tuple[str, int, str]:
    """Key, bytes and status of one file."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            return "", 0, "unreadable"
        if state.st_size == 0:
            return "", 0, "empty"
        return keys.digest(path, state.st_size, state.st_mtime_ns), state.st_size, "ok"
    except (FileNotFoundError, NotADirectoryError):
        return "", 0, "missing"
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return "", 0, "unreadable"
