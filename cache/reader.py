"""Opens a finished store, and refuses any other.

store = FeatureStore.open(paths.store, expect=fingerprint, hint="python -m pipeline.extract …")
batch = store["images/local"].gather(rows)
tokens, mask = store.ragged("texts/local", "texts/offsets").gather_padded(rows)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.chunks import Chunks, MappedChunks, OpenFolder, ZarrChunks
from cache.errors import DamagedStoreError, StoreError, nearest, reason
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.metadata import NODE, array_text, checked_ledger, specs_from
from cache.ragged import RaggedArray
from cache.rows import RowArray

if TYPE_CHECKING:
    import zarr

__all__ = ["FeatureStore", "RaggedArray", "RowArray"]

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) as a long operation goes on."""

_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ArithmeticError,
)  # fmt: skip
"""What metadata leads to that is missing, torn or something else's."""


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """A finished store; get one from `FeatureStore.open`.

    It is one store for as long as it is held, whatever stands at its path later.

    Args:
        folder: of a local store; None of a remote one.
        hint: the command that makes or mends it, for messages.
    """

    path: Path | str
    folder: OpenFolder | None
    fingerprint: Fingerprint
    attributes: dict[str, Any]
    specs: dict[str, ArraySpec]
    crcs: dict[str, list[str]]
    """CRC-32 of the rows of each chunk, hexadecimal, by array."""
    hint: str | None
    _arrays: dict[str, RowArray]

    @classmethod
    def open(
        cls, path: Path | str, expect: Fingerprint | None = None, hint: str | None = None
    ) -> FeatureStore:
        """Read the ledger alone; the arrays are opened as they are asked for, and the rows of each
        chunk compared with their checksum when they are first read.

        Args:
            path: the group's folder, or a URL that zarr can open.
            expect: what the store must have been made from.
            hint: the command that makes or mends the store, for messages.

        Raises:
            StoreError: the store is missing, half built, of another layout version, or made from
                something else than expected.
            DamagedStoreError: it is no feature store, or not the one that was written.
        """
        remote = "://" in str(path)
        path = str(path) if remote else Path(path)
        if isinstance(path, Path) and not path.exists():
            raise StoreError(f"{path}: no such feature store", hint)
        folder = None
        try:
            if isinstance(path, Path):
                folder = OpenFolder(path)
                attributes = _attributes(folder)
            else:
                attributes = _zarr_group(path).attrs.asdict()
        except _UNREADABLE as error:
            said = f"{path}: not a Zarr v3 group: {reason(error)}"
            raise DamagedStoreError(said, hint) from error
        ledger = checked_ledger(attributes, path, hint)
        arrays = ledger["arrays"]
        store = cls(
            path, folder, Fingerprint(ledger["fingerprint"]), ledger["attributes"],
            specs_from(arrays), {name: said["crc32"] for name, said in arrays.items()}, hint, {},
        )  # fmt: skip
        if expect is not None:
            store.fingerprint.require_equal(expect, path, hint)
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the store again, and takes no other one for it."""
        path = self.path.absolute() if isinstance(self.path, Path) else self.path
        return _same, (path, self.identity, self.hint)

    @cached_property
    def identity(self) -> str:
        """16 hexadecimal digits of what it was made from and what it holds: two stores of one
        fingerprint may differ in last bits."""
        return Fingerprint({"from": self.fingerprint.fields, "holds": self.crcs}).digest

    def attribute(self, name: str) -> Any:
        """An attribute that a store of this kind has.

        Raises:
            DamagedStoreError: this one has not.
        """
        if name not in self.attributes:
            raise DamagedStoreError(f"{self.path}: damaged: no attribute '{name}'", self.hint)
        return self.attributes[name]

    def names(self) -> list[str]:
        """Every array, sorted."""
        return sorted(self.specs)

    def __contains__(self, name: object) -> bool:
        return name in self.specs

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> RowArray:
        """One array.

        Raises:
            StoreError: the store has no such array, or its metadata is missing or damaged.
        """
        if name not in self._arrays:
            if name not in self:
                what = f"{self.path}: no array '{name}'{nearest(name, self.names())}"
                raise StoreError(what, self.hint)
            self._arrays[name] = RowArray(self._chunks(name))
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
        return sum(spec.shape[0] * spec.row_bytes for spec in self.specs.values())

    def require_files(self) -> None:
        """Look whether every chunk file is there and whole by its size; reads no data.

        Raises:
            StoreError: one is missing or of another size; it is named.
        """
        for name in self:
            self[name].require_files()

    def verify(self, progress: Progress | None = None) -> None:
        """Read all rows and compare them with the checksums.

        Raises:
            StoreError: a chunk differs; it is named.
        """
        done, total = 0, self.nbytes()
        for name in self:
            for _, rows in self.blocks(name):
                done += rows.nbytes
                if progress is not None:
                    progress(done, total)

    def _chunks(self, name: str) -> Chunks:
        spec, crcs = self.specs[name], self.crcs[name]
        try:
            if self.folder is not None:
                text = self.folder.read(f"{name}/{NODE}")
                if text == array_text(spec).encode():
                    return MappedChunks(self.folder, spec, crcs, self.hint)
            array: Any = self._rewritten[name]
            if (array.shape, np.dtype(array.dtype).name) != (spec.shape, spec.dtype):
                raise TypeError(
                    f"{array.dtype} of {array.shape}, expected {spec.dtype} of {spec.shape}"
                )
        except _UNREADABLE as error:
            if self.folder is not None:
                self.folder.require_there()
            said = f"{self.path}: {name}: {reason(error)}"
            raise DamagedStoreError(said, self.hint) from error
        return ZarrChunks(array, spec, crcs, self.folder, self.hint)

    @cached_property
    def _rewritten(self) -> zarr.Group:
        """The group as zarr opens it, for arrays that do not lie as this package writes them."""
        return _zarr_group(self.path)


def _same(path: Path | str, identity: str, hint: str | None) -> FeatureStore:
    store = FeatureStore.open(path, hint=hint)
    if store.identity != identity:
        raise StoreError(f"{path}: another store has taken the place of the one asked for", hint)
    return store


def _attributes(folder: OpenFolder) -> dict[str, Any]:
    node = json.loads(folder.read(NODE))
    if (node["zarr_format"], node["node_type"]) != (3, "group"):
        raise ValueError("the metadata are of something else")
    attributes: dict[str, Any] = node.get("attributes", {})
    return attributes


def _zarr_group(path: Path | str) -> zarr.Group:
    import zarr  # takes a while; stores that this package wrote are read without it

    return zarr.open_group(path, mode="r", zarr_format=3)
