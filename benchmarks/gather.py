"""Random rows of a (n, 50, 768) float16 array: our reader, zarr's `oindex`, a plain memory map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from cache.writer import StoreWriter

SHAPE = (8192, 50, 768)
BATCH = 256


def make_peers(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """One store and one plain file with equal values; name -> gather(rows)."""
    values = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32).astype(np.float16)
    writer = StoreWriter.open(
        folder / "work", Fingerprint({"made": "bench"}), [ArraySpec("x", SHAPE, "float16")]
    )
    writer.write("all", [("x", 0, values)])
    writer.finish(folder / "store.zarr", ["all"], {})
    values.tofile(folder / "plain.bin")
    ours = FeatureStore.open(folder / "store.zarr")["x"]
    theirs = zarr.open(folder / "store.zarr", mode="r")["x"]
    plain = np.memmap(folder / "plain.bin", np.float16, "r", shape=SHAPE)
    return {
        "ours": ours.gather,
        "plain memory map": lambda rows: plain[rows],
        "zarr oindex": lambda rows: np.asarray(theirs.oindex[rows]),
    }


def check_equal(peers: dict[str, Callable[[np.ndarray], np.ndarray]]) -> None:
    rows = np.random.default_rng(1).integers(0, SHAPE[0], BATCH)
    want = peers["plain memory map"](rows)
    for name, gather in peers.items():
        np.testing.assert_array_equal(gather(rows), want, err_msg=name)
