"""Opens a finished store, and refuses any other.

store = FeatureStore.open(paths.store, expect=fingerprint, hint="python -m pipeline.extract …")
batch = store["images/local"].gather(rows)
tokens, mask = store.ragged("texts/local", "texts/offsets").gather_padded(rows)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from cache.checksum import crc32
from cache.errors import StoreError, nearest
from cache.fingerprint import Fingerprint
from cache.layout import LAYOUT_VERSION, LEDGER_KEY
from cache.ragged import RaggedArray
from cache.rows import RowArray

__all__ = ["FeatureStore", "RaggedArray", "RowArray"]

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) as a long operation goes on."""

_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What zarr raises on metadata that is missing, torn or something else's."""


class FeatureStore:
    """A finished store; get one from `FeatureStore.open`."""

    def __init__(
        self, path: Path | str, group: zarr.Group, ledger: dict[str, Any], hint: str | None
    ) -> None:
        self.path = path
        self.fingerprint = Fingerprint(ledger["fingerprint"])
        self.attributes: dict[str, Any] = ledger["attributes"]
        self.checksums: dict[str, str] = ledger["arrays"]
        self._group = group
        self._hint = hint
        self._arrays: dict[str, RowArray] = {}

    @classmethod
    def open(
        cls, path: Path | str, expect: Fingerprint | None = None, hint: str | None = None
    ) -> FeatureStore:
        """Read the ledger alone; the arrays are opened as they are asked for.

        Args:
            path: the group's folder, or a URL that zarr can open.
            expect: what the store must have been made from.
            hint: the command that makes or mends the store, for messages.

        Raises:
            StoreError: the store is missing, no feature store, half built, of another layout
                version, or made from something else than expected.
        """
        remote = "://" in str(path)
        path = str(path) if remote else Path(path)
        if isinstance(path, Path) and not path.exists():
            raise StoreError(f"{path}: no such feature store", hint)
        try:
            group = zarr.open_group(path, mode="r", zarr_format=3)
            ledger: Any = group.attrs.asdict().get(LEDGER_KEY)
        except _UNREADABLE as error:
            raise StoreError(f"{path}: not a Zarr v3 group: {error}", hint) from error
        if not isinstance(ledger, dict) or "layout" not in ledger:
            raise StoreError(f"{path}: a Zarr group without the attribute '{LEDGER_KEY}'", hint)
        if ledger["layout"] != LAYOUT_VERSION:
            raise StoreError(
                f"{path}: layout version {ledger['layout']}, expected {LAYOUT_VERSION}", hint
            )
        if ledger.get("finished") is not True:
            raise StoreError(f"{path}: half built: its writing was interrupted", hint)
        store = cls(path, group, ledger, hint)
        if expect is not None:
            store.fingerprint.require_equal(expect, path, hint)
        return store

    @property
    def identity(self) -> str:
        """16 hexadecimal digits of what it was made from and what it holds: two stores of one
        fingerprint may differ in last bits."""
        return Fingerprint({"from": self.fingerprint.fields, "holds": self.checksums}).digest

    def names(self) -> list[str]:
        """Every array, sorted."""
        return sorted(self.checksums)

    def __contains__(self, name: object) -> bool:
        return name in self.checksums

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> RowArray:
        """One array.

        Raises:
            KeyError: the store has no such array.
            StoreError: its metadata is missing or damaged.
        """
        if name not in self._arrays:
            if name not in self:
                raise KeyError(f"{self.path}: no array '{name}'{nearest(name, self.names())}")
            folder = self.path / name if isinstance(self.path, Path) else None
            try:
                array = self._group[name]
                if not isinstance(array, zarr.Array):
                    raise TypeError("a group, expected an array")
                self._arrays[name] = RowArray(name, array, folder, self.checksums[name], self._hint)
            except _UNREADABLE as error:
                raise StoreError(f"{self.path}: {name}: {error}", self._hint) from error
        return self._arrays[name]

    def ragged(self, values: str, offsets: str) -> RaggedArray:
        """Items of different lengths, from the arrays of their values and of their offsets."""
        bounds = self[offsets]
        return RaggedArray(self[values], bounds.slice(0, len(bounds)))

    def blocks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """One array in order, chunk by chunk, as (first row, rows)."""
        rows = self[name]
        for lo in range(0, len(rows), rows.chunk_rows):
            yield lo, rows.slice(lo, min(lo + rows.chunk_rows, len(rows)))

    def nbytes(self) -> int:
        """Of all arrays together."""
        return sum(int(np.prod(self[n].shape)) * self[n].dtype.itemsize for n in self)

    def require_files(self) -> None:
        """Look whether every chunk file is there and whole by its size; reads no data.

        Raises:
            StoreError: one is missing or of another size; it is named.
        """
        for name in self:
            self[name].require_files()

    def verify(self, progress: Progress | None = None) -> None:
        """Read everything and compare it with the checksums.

        Raises:
            StoreError: an array differs; it is named.
        """
        done, total = 0, self.nbytes()
        for name in self:
            crc = 0
            for _, rows in self.blocks(name):
                crc = crc32(rows, crc)
                done += rows.nbytes
                if progress is not None:
                    progress(done, total)
            self.require_checksum(name, crc)

    def require_checksum(self, name: str, crc: int) -> None:
        """Raises StoreError if `crc` is not the CRC-32 that the array was written with."""
        if f"{crc:08x}" != self.checksums[name]:
            raise StoreError(
                f"{self.path}: {name} is damaged: CRC-32 {crc:08x}, "
                f"expected {self.checksums[name]}",
                self._hint,
            )
