"""Small stores that the tests of the store write, and a script that some of them kill.

Run as a script: python small_stores.py PARTIAL TARGET
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import AbstractContextManager
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import numpy as np

from cache.build import Build, building, recover, sweep
from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore

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


def units_of(arrays: dict[str, np.ndarray], chunk_rows: int = 4, chunks: int = 1) -> list[Unit]:
    """Unit i covers the i-th so many chunks of every array that has them."""
    units: dict[str, list[tuple[str, int, np.ndarray]]] = {}
    for spec in specs_of(arrays, chunk_rows):
        step = spec.chunk_rows * chunks
        for i, lo in enumerate(range(0, spec.shape[0], step)):
            part = (spec.name, lo, arrays[spec.name][lo : lo + step])
            units.setdefault(f"chunks:{i * chunks}", []).append(part)
    return list(units.items())


def opened(partial: Path, target: Path, chunk_rows: int = 4) -> AbstractContextManager[Build]:
    """The build of `contents()`."""
    specs = specs_of(contents(), chunk_rows)
    return building(target, partial, "work-1", FINGERPRINT, specs)


def build(
    partial: Path,
    target: Path,
    arrays: dict[str, np.ndarray] | None = None,
    chunk_rows: int = 4,
    chunks: int = 1,
) -> Path:
    """Write a whole store, or what is left of it; returns `target`."""
    arrays = contents() if arrays is None else arrays
    units = units_of(arrays, chunk_rows, chunks)
    specs = specs_of(arrays, chunk_rows)
    with building(target, partial, f"work-{chunks}", FINGERPRINT, specs) as one:
        for name, parts in units:
            if not one.done(name):
                one.write(name, parts, note={"unit": name})
        one.finish([name for name, _ in units], ATTRIBUTES)
    return target


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_unit(build: Build, unit: Unit) -> int:
    """What a worker process runs; returns its id."""
    build.write(*unit, note={"unit": unit[0]})
    return os.getpid()


def build_unless_finished(partial: Path, target: Path) -> None:
    """As a command does: look for a finished store first."""
    recover(partial, target)
    try:
        FeatureStore.open(target, FINGERPRINT)
    except StoreError:
        build(partial, target)
    else:
        sweep(partial)


def build_without_locks(partial: Path, target: Path, ready: Semaphore) -> None:
    """`build_unless_finished` in a slow process of its own, on a disk whose locks do nothing."""
    fcntl.flock = lambda *_: None
    real = Build.write

    def slowly(*arguments: Any, **options: Any) -> None:
        time.sleep(0.01)
        real(*arguments, **options)

    Build.write = slowly  # type: ignore[method-assign]  # in this process alone
    ready.release()
    build_unless_finished(partial, target)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    build_unless_finished(Path(sys.argv[1]), Path(sys.argv[2]))
