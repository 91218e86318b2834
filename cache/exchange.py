"""A store as one HDF5 file, and back: the same groups and arrays, the ledger as an attribute.

The file begins with a block that HDF5 leaves to its users. There stand the length and the CRC-32 of
all that follows, then the ledger once more, and where in the file the rows of each array lie. So
`load_hdf5` needs no HDF5 library, which may hang or crash on a file that somebody made up.
"""

import errno
import fcntl
import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.build import Build, building, discard, recover
from cache.check import ledger_text
from cache.disk import telling_full
from cache.errors import StoreError
from cache.files import atomic_path
from cache.fingerprint import Fingerprint
from cache.hdf5_file import HDF5File
from cache.layout import CHUNK_BYTES, LEDGER_KEY
from cache.metadata import arrays_field, checked_ledger, specs_from
from cache.reader import FeatureStore, Progress
from cache.strict import parse_json

BLOCK = 512
"""Bytes of the block's first part; the block itself is a power of two of bytes."""
_READ_BYTES = 8 * 2**20
_AGAIN = (
    "export it again (python -m pipeline.export --dataset NAME --output FILE.h5), or copy it again"
)


def export_hdf5(
    store_path: Path, h5_path: Path, progress: Progress | None = None, hint: str | None = None
) -> None:
    """Write a finished store into one HDF5 file, block by block, checking it on the way.

    The file appears when it is complete; an older one is replaced.

    Args:
        progress: called with (bytes done, bytes in all).
        hint: the command that mends the store, for messages.

    Raises:
        StoreError: the store cannot be opened or an array is damaged; `h5_path` is a folder; the
            disk is full.
    """
    h5_path = Path(h5_path)
    if h5_path.is_dir():
        raise StoreError(f"{h5_path}: a folder, expected a file to write", "give a file's name")
    store = FeatureStore.open(store_path, hint=hint)
    done, total = 0, store.nbytes()
    h5_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        telling_full(h5_path.parent, f"writing {h5_path.name}", lambda: total),
        atomic_path(h5_path) as temporary,
        HDF5File(temporary, "w+") as raw,
    ):
        text = ledger_text(store)
        # No place in a file takes more digits than this one.
        block = 2 ** math.ceil(math.log2(BLOCK + len(_index(text, dict.fromkeys(store, 2**62)))))
        places: dict[str, int] = {}
        with h5py.File(raw, "w", userblock_size=block) as file:
            file.attrs[LEDGER_KEY] = text
            for name in store:
                rows = store[name]
                dataset = file.create_dataset(name, rows.shape, rows.dtype)
                for lo, part in store.blocks(name):
                    if part.size:
                        dataset[lo : lo + len(part)] = part
                    raw.require()
                    done += part.nbytes
                    if progress is not None:
                        progress(done, total)
                places[name] = dataset.id.get_offset() or 0  # None: nothing is stored
        raw.require()
        raw.seek(BLOCK)
        raw.write(_index(text, places))
        seal = _seal(raw)
        raw.seek(0)
        raw.write(seal)
        raw.require()


def load_hdf5(
    h5_path: Path,
    target: Path,
    progress: Progress | None = None,
    accept: Callable[[Fingerprint], None] = lambda _: None,
) -> None:
    """Make a store from a file that `export_hdf5` wrote, equal to the exported one byte by byte.

    The store appears when it is complete and its checksums agree; an older one is replaced.

    Args:
        progress: called with (bytes done, bytes in all).
        accept: raises what is wrong with a store of this fingerprint, before anything is written.

    Raises:
        StoreError: the file is missing, in use, no exported store or damaged; the disk is full.
    """
    h5_path, target = Path(h5_path), Path(target)
    with _whole(h5_path) as raw:
        ledger, places = _read_index(raw, h5_path)
        specs = specs_from(ledger["arrays"])
        fingerprint = Fingerprint(ledger["fingerprint"])
        accept(fingerprint)
        partial = target.parent / ".partial-load"
        # By the checksums, too: another file of the same fingerprint may differ in last bits.
        name = f"load-{Fingerprint(ledger).digest}"
        try:
            with building(target, partial, name, fingerprint, list(specs.values())) as build:
                units = _copy(raw, places, build, progress)
                crcs = build.checksums(units)
                if arrays_field(specs.values(), crcs) != ledger["arrays"]:
                    raise StoreError(f"{h5_path}: rows differ from their checksums", _AGAIN)
                build.finish(units, ledger["attributes"])
        finally:
            recover(partial, target)  # interrupted at its end, the older store lies in there, too
            # A mended file of the same checksums must not find what came from the damaged one.
            discard(partial / name, partial)
            with suppress(OSError):  # others may be at work in it
                partial.rmdir()


def is_loaded(h5_path: Path, target: Path) -> bool:
    """Whether the store at `target` is whole and the very one that the file was made of.

    Raises:
        StoreError: as `load_hdf5` does, about the file.
    """
    with _whole(Path(h5_path)) as raw:
        said, _ = _read_index(raw, Path(h5_path))
    try:
        store = FeatureStore.open(target)
        store.verify()
    except StoreError:
        return False
    crcs = {name: array["crc32"] for name, array in said["arrays"].items()}
    here = (store.fingerprint.fields, store.crcs, store.attributes)
    return here == (said["fingerprint"], crcs, said["attributes"])


def _copy(
    raw: Any, places: Mapping[str, int], build: Build, progress: Progress | None
) -> list[str]:
    """Write every block as a unit; returns the units' names."""
    units: list[str] = []
    done, total = 0, sum(spec.shape[0] * spec.row_bytes for spec in build.specs.values())
    for name, spec in build.specs.items():
        chunks = max(1, CHUNK_BYTES // max(1, spec.chunk_bytes))
        for lo in range(0, spec.shape[0], chunks * spec.chunk_rows):
            hi = min(lo + chunks * spec.chunk_rows, spec.shape[0])
            units.append(f"{name}:{lo}")
            if not build.done(units[-1]):
                raw.seek(places[name] + lo * spec.row_bytes)
                data = raw.read((hi - lo) * spec.row_bytes)
                rows = np.frombuffer(data, np.dtype(spec.dtype).newbyteorder("<"))
                build.write(units[-1], [(name, lo, rows.reshape(hi - lo, *spec.shape[1:]))])
            done += (hi - lo) * spec.row_bytes
            if progress is not None:
                progress(done, total)
    return units


def require_whole(h5_path: Path) -> None:
    """Read a file and compare it with the checksum that it begins with.

    Raises:
        StoreError: it is missing, in use, not one that `export_hdf5` wrote, or damaged.
    """
    with _whole(h5_path):
        pass


@contextmanager
def _whole(h5_path: Path) -> Iterator[Any]:
    """The opened file, whose bytes are those that were written."""
    if not h5_path.exists():
        raise StoreError(f"{h5_path}: no such file", _AGAIN)
    if not h5_path.is_file():
        raise StoreError(f"{h5_path}: not a readable HDF5 file: no regular file")
    with h5_path.open("rb") as raw:
        try:  # as HDF5 itself locks
            fcntl.flock(raw, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise StoreError(
                    f"{h5_path}: in use by another process, which may write to it",
                    "run the same command again when it is closed there",
                ) from None
        said = raw.read(BLOCK)
        if said[:5] != _seal_text(0, 0)[:5]:
            raise StoreError(
                f"{h5_path}: not a readable HDF5 file of this program: it does not begin with the "
                "block that export writes",
                _AGAIN,
            )
        size = os.fstat(raw.fileno()).st_size
        told = said.startswith(_seal_text(size, 0).split(b",")[0])  # before a terabyte is read
        if not told or said != _seal(raw):
            raise StoreError(f"{h5_path}: damaged: its CRC-32 or its length differs", _AGAIN)
        yield raw


def _seal(raw: Any) -> bytes:
    """The first block of an HDF5 file, from all that follows it."""
    raw.seek(BLOCK)
    crc = 0
    while data := raw.read(_READ_BYTES):
        crc = zlib.crc32(data, crc)
    return _seal_text(os.fstat(raw.fileno()).st_size, crc)


def _seal_text(size: int, crc: int) -> bytes:
    said = f"melov feature store as HDF5: {size} bytes, CRC-32 {crc:08x} from byte {BLOCK} on\n"
    return said.encode().ljust(BLOCK, b"\0")


def _index(text: str, places: Mapping[str, int]) -> bytes:
    """The block's second part: the ledger as in the store's `zarr.json`, and where the first row
    of each array lies in the file."""
    return json.dumps({"store": json.loads(text), "places": dict(places)}).encode() + b"\n"


def _read_index(raw: Any, h5_path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The ledger, and the places of all arrays, each within the file."""
    raw.seek(BLOCK)
    said = parse_json(raw.readline(), f"{h5_path}: no exported feature store")
    store = said.get("store") if isinstance(said, dict) else None
    attributes = store.get("attributes") if isinstance(store, dict) else None
    ledger = checked_ledger(attributes, h5_path, _AGAIN)
    places, size = said.get("places"), os.fstat(raw.fileno()).st_size
    for name, spec in specs_from(ledger["arrays"]).items():
        at = places.get(name) if isinstance(places, dict) else None
        if type(at) is not int or not 0 <= at <= size - spec.shape[0] * spec.row_bytes:
            raise StoreError(f"{h5_path}: {name} is damaged or missing", _AGAIN)
    return ledger, places
