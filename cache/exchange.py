"""A store as one HDF5 file, and back: the same groups and arrays, the ledger as an attribute."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.build import Build, building, discard
from cache.checksum import crc32
from cache.disk import telling_full
from cache.errors import StoreError
from cache.files import atomic_path
from cache.fingerprint import Fingerprint, canonical
from cache.layout import CHUNK_BYTES, LAYOUT_VERSION, LEDGER_KEY, ArraySpec
from cache.reader import FeatureStore, Progress

_CHUNK_ROWS = "chunk_rows"
"""Attribute of each HDF5 data set: rows of one chunk file, so that a load gives the same files."""


def export_hdf5(store_path: Path, h5_path: Path, progress: Progress | None = None) -> None:
    """Write a finished store into one HDF5 file, block by block, checking it on the way.

    The file appears when it is complete; an older one is replaced.

    Args:
        progress: called with (bytes done, bytes in all).

    Raises:
        StoreError: the store cannot be opened or an array is damaged; the disk is full.
    """
    store = FeatureStore.open(store_path)
    done, total = 0, store.nbytes()
    ledger = {
        "layout": LAYOUT_VERSION,
        "fingerprint": store.fingerprint.fields,
        "arrays": store.checksums,
        "attributes": store.attributes,
    }
    h5_path = Path(h5_path)
    h5_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        telling_full(h5_path.parent, f"writing {h5_path.name}", lambda: total),
        atomic_path(h5_path) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        file.attrs[LEDGER_KEY] = canonical(ledger)
        for name in store:
            rows = store[name]
            dataset = file.create_dataset(name, rows.shape, rows.dtype)
            dataset.attrs[_CHUNK_ROWS] = rows.chunk_rows
            crc = 0
            for lo, block in store.blocks(name):
                if block.size:
                    dataset[lo : lo + len(block)] = block
                crc = crc32(block, crc)
                done += block.nbytes
                if progress is not None:
                    progress(done, total)
            store.require_checksum(name, crc)


def load_hdf5(h5_path: Path, target: Path, progress: Progress | None = None) -> None:
    """Make a store from a file that `export_hdf5` wrote, equal to the exported one byte by byte.

    The store appears when it is complete and its checksums agree; an older one is replaced.

    Args:
        progress: called with (bytes done, bytes in all).

    Raises:
        StoreError: the file is missing, no exported store or damaged (the array is named); the disk
            is full.
    """
    h5_path, target = Path(h5_path), Path(target)
    if not h5_path.exists():
        raise StoreError(f"{h5_path}: no such file")
    try:
        file = h5py.File(h5_path, "r")
    except OSError as error:
        raise StoreError(f"{h5_path}: not a readable HDF5 file: {error}") from error
    with file:
        ledger = _ledger(file, h5_path)
        specs = [_spec(file, name, h5_path) for name in sorted(ledger["arrays"])]
        fingerprint = Fingerprint(ledger["fingerprint"])
        partial = target.parent / ".partial-load"
        # By the checksums, too: another file of the same fingerprint may differ in last bits.
        name = f"load-{Fingerprint(ledger).digest}"
        try:
            with building(target, partial, name, fingerprint, specs) as build:
                units = _copy(file, h5_path, build, progress)
                for array, crc in build.checksums(units).items():
                    if f"{crc:08x}" != ledger["arrays"][array]:
                        how = f"CRC-32 {crc:08x} differs from the ledger's"
                        raise _damaged(h5_path, array, how)
                build.finish(units, ledger["attributes"])
        finally:
            # A mended file of the same checksums must not find what came from the damaged one.
            discard(partial / name, partial)
            with suppress(OSError):  # others may be at work in it
                partial.rmdir()


def _copy(file: h5py.File, h5_path: Path, build: Build, progress: Progress | None) -> list[str]:
    """Write every block as a unit; returns the units' names."""
    units: list[str] = []
    done, total = 0, sum(spec.shape[0] * spec.row_bytes for spec in build.specs.values())
    for name, spec in build.specs.items():
        chunks = max(1, CHUNK_BYTES // max(1, spec.chunk_bytes))
        for lo in range(0, spec.shape[0], chunks * spec.chunk_rows):
            hi = min(lo + chunks * spec.chunk_rows, spec.shape[0])
            units.append(f"{name}:{lo}")
            if not build.done(units[-1]):
                try:
                    rows = file[name][lo:hi]
                except OSError as error:
                    raise _damaged(h5_path, name, str(error)) from error
                build.write(units[-1], [(name, lo, rows)])
            done += (hi - lo) * spec.row_bytes
            if progress is not None:
                progress(done, total)
    return units


def _ledger(file: h5py.File, h5_path: Path) -> dict[str, Any]:
    try:
        ledger: dict[str, Any] = json.loads(file.attrs[LEDGER_KEY])
        layout = ledger["layout"]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{h5_path}: no exported feature store: no readable attribute '{LEDGER_KEY}'"
        ) from error
    if layout != LAYOUT_VERSION:
        raise StoreError(f"{h5_path}: layout version {layout}, expected {LAYOUT_VERSION}")
    return ledger


def _spec(file: h5py.File, name: str, h5_path: Path) -> ArraySpec:
    try:
        dataset = file[name]
        dtype = np.dtype(dataset.dtype).name
        return ArraySpec(name, dataset.shape, dtype, int(dataset.attrs[_CHUNK_ROWS]))
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise _damaged(h5_path, name, str(error)) from error


def _damaged(h5_path: Path, name: str, what: str) -> StoreError:
    return StoreError(f"{h5_path}: {name} is damaged: {what}", "export it again, or copy it again")
