"""The store: random rows of a (n, 50, 768) float16 array out of our reader, zarr's `oindex` and a
plain memory map; writing against the disk's sequential rate; opening a large store."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from benchmarks.compare import Result, at_least, at_most, compare, ratio_of
from benchmarks.machine import copy_rate
from cache.build import building
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.encode.units import UNIT_BATCHES

QUICK, FULL = 8_192, 130_000  # rows: 0.6 GB; 10 GB, the distinct pictures of WikiMEL
PATCHES = (50, 768)
ROW_BYTES = 50 * 768 * 2
BATCH = 256
UNIT = UNIT_BATCHES * ExtractConfig().batch_images  # rows a write, as extract's image units
BATCHES = 8  # a round
MOST_WRITES = 3  # rounds of writing: 20 GB each at full size
HELD = 8_192  # rows that the gathers are drawn from: they fit into memory beside the peers'


def run(full: bool, rounds: int) -> Result:
    rows = FULL if full else QUICK
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        # As many bytes as ours, and in turn with it: a disk takes the first gigabyte faster than it
        # goes on, and whoever writes first waits for the system to find the memory.
        writing = compare(
            {
                "writing, ours": partial(make_store, folder, rows),
                "one file, fsync at its end": partial(write_sequentially, folder, rows, rows),
                "one file, fsync unit by unit": partial(write_sequentially, folder, rows, UNIT),
            },
            min(rounds, MOST_WRITES),
        )
        begun = time.perf_counter()
        store = FeatureStore.open(folder / "store.zarr")
        opened = time.perf_counter() - begun
        values = store["x"].slice(0, HELD)
        np.asarray(values).tofile(folder / "plain.bin")
        peers = make_peers(folder)
        rng = np.random.default_rng(2)
        batches = [rng.integers(0, HELD, BATCH) for _ in range(BATCHES)]
        check_equal(peers, batches[0])
        timings = compare(
            {name: partial(_gather_all, gather, batches) for name, gather in peers.items()}, rounds
        )
    oindex, plain = (ratio_of(timings, n) for n in ("zarr oindex", "plain memory map"))
    rate = BATCHES * BATCH * ROW_BYTES / timings[0].seconds
    disk = min(writing[1:], key=lambda t: t.ratio)  # whichever way it is faster
    return Result(
        "gather",
        f"{BATCH} random rows, {BATCHES} times, of a ({rows}, 50, 768) float16 array in memory",
        [*timings, *writing],
        [
            at_least("gather against zarr's oindex", oindex, 20),
            at_least("gather, rate over a plain memory map's", plain, 0.5),
            at_least("writing, rate over the disk's sequential one", disk.ratio, 0.5),
            at_most(f"opening a {rows * ROW_BYTES / 1e9:.1f} GB store", opened, 0.1, " s"),
        ],
        [
            f"gather: {rate / 1e9:.2f} GB/s, {rate / copy_rate():.0%} of the memory's copy rate; "
            "each row is copied once",
            f"writing, checksums included: {rows * ROW_BYTES / writing[0].seconds / 1e6:.0f} MB/s; "
            f"the disk, {disk.name}: {rows * ROW_BYTES / disk.seconds / 1e6:.0f} MB/s",
        ],
        {"open_seconds": opened},
    )


def make_store(folder: Path, rows: int) -> None:
    """A store of `rows` rows in the place of an older one, written unit by unit."""
    shutil.rmtree(folder / "store.zarr", ignore_errors=True)
    block = np.random.default_rng(0).standard_normal((UNIT, *PATCHES), dtype=np.float32)
    block = block.astype(np.float16)
    spec = ArraySpec("x", (rows, *PATCHES), "float16", UNIT)
    fingerprint = Fingerprint({"made": "bench"})
    with building(folder / "store.zarr", folder / "work", "w", fingerprint, [spec]) as build:
        names = []
        for start in range(0, rows, UNIT):
            part = block[: min(UNIT, rows - start)]
            row = np.arange(start, start + len(part))
            part[:, 0, 0], part[:, 0, 1] = row % 2048, row // 2048  # so that no two rows are equal
            names.append(str(start))
            build.write(names[-1], [("x", start, part)])
        build.finish(names, {})


def write_sequentially(folder: Path, rows: int, unit: int) -> None:
    """The bytes of `rows` rows into one file, with fsync after every `unit` of them."""
    block = np.random.default_rng(0).bytes(min(unit, UNIT) * ROW_BYTES)
    path = folder / "sequential.bin"
    with path.open("wb", buffering=0) as file:
        for start in range(0, rows, UNIT):
            file.write(block[: min(UNIT, rows - start) * ROW_BYTES])
            if start + UNIT >= rows or unit == UNIT:
                os.fsync(file.fileno())
    path.unlink()


def make_peers(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """name -> gather(rows); the first is ours."""
    theirs = zarr.open_group(folder / "store.zarr", mode="r")["x"]
    plain = np.memmap(folder / "plain.bin", np.float16, "r", shape=(HELD, *PATCHES))
    return {
        "ours": FeatureStore.open(folder / "store.zarr")["x"].gather,
        "plain memory map": lambda rows: plain[rows],
        "zarr oindex": lambda rows: np.asarray(theirs.oindex[rows]),
    }


def check_equal(peers: dict[str, Callable[[np.ndarray], np.ndarray]], rows: np.ndarray) -> None:
    want = peers["plain memory map"](rows)
    for name, gather in peers.items():
        np.testing.assert_array_equal(gather(rows), want, err_msg=name)


def _gather_all(gather: Callable[[np.ndarray], np.ndarray], batches: list[np.ndarray]) -> None:
    for rows in batches:
        gather(rows)
