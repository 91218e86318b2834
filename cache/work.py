"""The folder in which a store is made: its plan, its group, its ledger.

It holds the group `features.zarr`, `plan.json` (fingerprint and arrays; written last, it seals the
set-up) and `ledger.jsonl` (finished units). zarr-python writes the metadata; rows are then written
straight into the chunk files, which zarr-python would first read, and never reserves.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec

from cache.checksum import crc32
from cache.files import allocate, full_error, locked, replace_text, telling_full, write_at
from cache.fingerprint import Fingerprint, canonical
from cache.layout import GROUP, LAYOUT_VERSION, LEDGER_KEY, ArraySpec, check_names
from cache.ledger import Entry, Ledger, Part

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_READ_BYTES = 8 * 2**20


class WorkFolder:
    """Chunk files in the making, one folder a store. Holds no open file and no lock."""

    def __init__(self, path: Path, fingerprint: Fingerprint, specs: Sequence[ArraySpec]) -> None:
        check_names(specs)
        self.path = path
        self.group = path / GROUP
        self.fingerprint = fingerprint
        self.specs = {spec.name: spec for spec in specs}
        self.ledger = Ledger(path / "ledger.jsonl")

    def prepare(self) -> None:
        """Resume what is there, or empty the folder and lay the store out.

        Raises
        ------
        StoreError: the disk has no room for all arrays.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        needed = self._absent_bytes
        with locked(self.path), telling_full(self.path, "laying out the store", needed):
            if self._resumable():
                self._allocate()
                self._check_units()
                return
            self._clear()
            try:
                self._create()
            except OSError:
                self._clear()  # nothing is lost, and the disk has its room back
                raise

    def place(self, name: str, start: int, rows: int, data: np.ndarray) -> None:
        """Write `data`, the bytes (uint8) of that many rows, down to the disk."""
        spec = self.specs[name]
        taken = 0
        for chunk, inside, count in spec.spans(start, rows):
            size = count * spec.row_bytes
            if size:
                path = spec.chunk_file(self.group, chunk)
                write_at(path, data[taken : taken + size], inside * spec.row_bytes)
            taken += size

    def write_attributes(self, **state: Any) -> None:
        """Put the layout, the fingerprint and `state` into the group's attributes, at once."""
        path = self.group / "zarr.json"
        metadata = json.loads(path.read_text(encoding="utf-8"))
        ledger = {"layout": LAYOUT_VERSION, "fingerprint": self.fingerprint.fields, **state}
        # Sorted through `canonical`: the order in which a caller filled a dict must not show.
        metadata["attributes"] = {LEDGER_KEY: json.loads(canonical(ledger))}
        replace_text(path, json.dumps(metadata, indent=2, ensure_ascii=False), self.path)

    def _plan(self) -> str:
        arrays = [asdict(spec) for spec in self.specs.values()]
        fields = self.fingerprint.fields
        return canonical({"layout": LAYOUT_VERSION, "fingerprint": fields, "arrays": arrays})

    def _resumable(self) -> bool:
        """Whether the folder was completely set up, for the very same store."""
        try:
            plan = (self.path / _PLAN).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            plan = ""
        if plan == self._plan() and (self.group / "zarr.json").exists():
            return True
        if any(self.path.iterdir()):
            logger.warning("%s: holds no resumable work; starting over", self.path)
        return False

    def _clear(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _create(self) -> None:
        root = zarr.create_group(self.group, zarr_format=3)
        for spec in self.specs.values():
            root.create_array(
                spec.name,
                shape=spec.shape,
                dtype=spec.dtype,
                chunks=spec.chunk_shape,
                chunk_key_encoding={"name": "default", "separator": "."},
                filters=None,
                compressors=None,
                serializer=BytesCodec(endian="little"),
                fill_value=0,
            )
        self.write_attributes(finished=False)
        self._allocate()
        replace_text(self.path / _PLAN, self._plan(), self.path)

    def _absent(self) -> list[tuple[Path, int]]:
        """Chunk files that are not there in full, and their sizes."""
        files = [
            (spec.chunk_file(self.group, chunk), spec.chunk_bytes)
            for spec in self.specs.values()
            for chunk in range(spec.n_chunks)
        ]
        return [(path, size) for path, size in files if not _has_size(path, size)]

    def _absent_bytes(self) -> int:
        return sum(size for _, size in self._absent())

    def _allocate(self) -> None:
        """Reserve the space of every chunk file, so that a full disk is told before the work."""
        if self._absent_bytes() > shutil.disk_usage(self.path).free:
            raise full_error(self.path)
        for path, size in self._absent():
            allocate(path, size)

    def _check_units(self) -> None:
        """Read finished units back; those that differ from their checksum leave the ledger."""
        for entry in list(self.ledger.entries().values()):
            if not all(self._intact(part) for part in entry.parts):
                logger.warning("%s: %s is damaged; writing it again", self.path, entry.unit)
                self.ledger.append(Entry(entry.unit, redo=True))

    def _intact(self, part: Part) -> bool:
        spec = self.specs.get(part.array)
        if spec is None or part.start < 0 or part.start + part.rows > spec.shape[0]:
            return False
        crc = 0
        for block in self._read(spec, part.start, part.rows):
            crc = crc32(block, crc)
        return crc == part.crc32

    def _read(self, spec: ArraySpec, start: int, rows: int) -> Iterator[np.ndarray]:
        """The rows' bytes, uint8, in blocks."""
        if not spec.row_bytes:
            return
        for chunk, inside, count in spec.spans(start, rows):
            left = count * spec.row_bytes
            with spec.chunk_file(self.group, chunk).open("rb") as file:
                file.seek(inside * spec.row_bytes)
                while left and (data := file.read(min(left, _READ_BYTES))):
                    left -= len(data)
                    yield np.frombuffer(data, dtype=np.uint8)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
