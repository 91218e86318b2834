"""Small stores that the tests of this folder write, and a script that one of them kills.

Run as a script: python small_stores.py WORK TARGET
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.writer import StoreWriter

Unit = tuple[str, list[tuple[str, int, np.ndarray]]]

FINGERPRINT = Fingerprint({"encoder": {"name": "tiny", "revision": None}, "dtype": "float16"})
ATTRIBUTES = {"failed": [3, 5], "note": "naïve"}


def contents() -> dict[str, np.ndarray]:
    """One array of each kind that a real store has; `wide` has rows of more than a page."""
    random = np.random.default_rng(7)
    return {
        "texts/global": random.normal(size=(37, 5)).astype(np.float16),
        "texts/local": random.normal(size=(59, 3)).astype(np.float16),
        "images/local": random.normal(size=(23, 2, 3)).astype(np.float16),
        "images/none": np.zeros((0, 4), np.float16),
        "entities/image": random.integers(-1, 20, 41).astype(np.int32),
        "entities/flags": random.integers(0, 2, 41).astype(bool),
        "ids": random.integers(0, 256, 61).astype(np.uint8),
        "wide": random.normal(size=(11, 1100)).astype(np.float32),
        "empty_rows": np.zeros((6, 0), np.float16),
    }


def specs_of(arrays: dict[str, np.ndarray], chunk_rows: int = 4) -> list[ArraySpec]:
    return [ArraySpec(n, a.shape, a.dtype.name, chunk_rows) for n, a in arrays.items()]


def units_of(arrays: dict[str, np.ndarray], rows: int = 3) -> list[Unit]:
    """Unit i covers rows `rows * i` onwards of every array that has them."""
    longest = max(len(array) for array in arrays.values())
    return [
        (
            f"rows:{lo}",
            [(n, lo, a[lo : lo + rows]) for n, a in arrays.items() if lo < len(a)],
        )
        for lo in range(0, longest, rows)
    ]


def build(
    work: Path,
    target: Path,
    arrays: dict[str, np.ndarray] | None = None,
    chunk_rows: int = 4,
    rows: int = 3,
) -> Path:
    """Write a whole store, or what is left of it; returns `target`."""
    arrays = contents() if arrays is None else arrays
    units = units_of(arrays, rows)
    writer = StoreWriter.open(work, FINGERPRINT, specs_of(arrays, chunk_rows))
    for name, parts in units:
        if not writer.done(name):
            writer.write(name, parts, note={"unit": name})
    writer.finish(target, [name for name, _ in units], ATTRIBUTES)
    return target


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_unit(writer: StoreWriter, unit: Unit) -> None:
    """What a worker process runs."""
    writer.write(*unit, note={"unit": unit[0]})


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    build(Path(sys.argv[1]), Path(sys.argv[2]))
