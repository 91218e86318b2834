"""Where the rows of an array come from: its own chunk files, mapped into memory, or zarr.

Either way the rows of a chunk are compared with their CRC-32 when they are first read, so that no
damage of a file passes for features.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cache.checksum import crc32
from cache.errors import DamagedStoreError, StoreError, reason
from cache.layout import ArraySpec
from cache.locks import hold

if TYPE_CHECKING:
    import zarr


class Chunks(Protocol):
    """The chunks of one array, whose rows are checked."""

    spec: ArraySpec

    def chunk(self, number: int) -> np.ndarray:
        """The rows of a chunk, read-only, shape: (rows, *trailing shape).

        Raises:
            StoreError: they are damaged or gone.
        """

    def require_files(self) -> None:
        """Look at what can be seen without reading rows.

        Raises:
            StoreError: a chunk file is missing or of another size.
        """


class OpenFolder:
    """A store's folder, held open: whatever replaces it, this one is read, and nobody sweeps it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, self.handle)
        hold(self.handle)

    def read(self, name: str) -> bytes:
        """A whole file, by its path in the folder."""
        handle = os.open(name, os.O_RDONLY, dir_fd=self.handle)
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def size(self, name: str) -> int:
        return os.stat(name, dir_fd=self.handle).st_size

    def names(self) -> list[str]:
        """Every file by its path in the folder, sorted."""
        found = [
            os.path.normpath(os.path.join(folder, name))
            for folder, _, names, _ in os.fwalk(".", dir_fd=self.handle)
            for name in names
        ]
        return sorted(found)

    def mapped(self, name: str, size: int) -> np.ndarray:
        """A file's bytes, uint8, shape: (size,), read as they are used."""
        handle = os.open(name, os.O_RDONLY, dir_fd=self.handle)
        try:
            return np.frombuffer(mmap.mmap(handle, size, access=mmap.ACCESS_READ), np.uint8)
        finally:
            os.close(handle)

    def require_there(self) -> None:
        """Raises StoreError if the path names another folder by now, or none."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path), os.fstat(self.handle)):
                return
        again = "run the same command again"
        raise StoreError(f"{self.path}: removed or replaced while it was read", again)

    def __reduce__(self) -> Any:
        return OpenFolder, (self.path,)


class MappedChunks:
    """Chunk files as this package writes them.

    Args:
        crcs: CRC-32 of the rows of each chunk, hexadecimal.
        hint: the command that mends the store, for messages.
    """

    def __init__(
        self, folder: OpenFolder, spec: ArraySpec, crcs: Sequence[str], hint: str | None
    ) -> None:
        self.spec = spec
        self._folder, self._crcs, self._hint = folder, crcs, hint
        self._rows: dict[int, np.ndarray] = {}

    def chunk(self, number: int) -> np.ndarray:
        rows = self._rows.get(number)
        if rows is None:
            rows = self._rows[number] = self._checked(number)
        return rows

    def require_files(self) -> None:
        for number in range(self.spec.n_chunks):
            if not self._size(number):
                self.chunk(number)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled map would carry its data along.
        return {**self.__dict__, "_rows": {}}

    def _checked(self, number: int) -> np.ndarray:
        spec = self.spec
        lo, hi = spec.rows_of(number)
        shape = (hi - lo, *spec.shape[1:])
        if self._size(number):
            data = self._folder.mapped(spec.key(number), spec.chunk_bytes)
        else:  # for zarr that is a chunk of zeros, and some programs leave such files away
            data = np.zeros(spec.chunk_bytes, np.uint8)
        rows = data[: (hi - lo) * spec.row_bytes]
        if f"{crc32(rows):08x}" != self._crcs[number]:
            raise self._damage(number, f"rows {lo:,} to {hi:,} are not those that were written")
        return rows.view(np.dtype(spec.dtype).newbyteorder("<")).reshape(shape)

    def _size(self, number: int) -> int:
        """Bytes of a chunk file, 0 where there is none."""
        wanted = self.spec.chunk_bytes
        try:
            size = self._folder.size(self.spec.key(number))
        except FileNotFoundError:
            return 0
        if size != wanted:
            raise self._damage(number, f"{size:,} bytes, expected {wanted:,}")
        return size

    def _damage(self, number: int, what: str) -> DamagedStoreError:
        key = self.spec.key(number)
        try:
            self._folder.size(key)
        except OSError:
            self._folder.require_there()
            what = f"the file is missing, {what}"
        return DamagedStoreError(f"{self._folder.path / key}: damaged: {what}", self._hint)


_UNREADABLE = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError, AttributeError,
    ArithmeticError,
)  # fmt: skip


class ZarrChunks:
    """An array that another program rewrote (compressed, sharded, remote), read through zarr.

    Args:
        spec, crcs: as written; how the array lies now is zarr's own matter.
        folder: of a local store, which must not be replaced while it is read.
    """

    def __init__(
        self,
        array: zarr.Array[Any],
        spec: ArraySpec,
        crcs: Sequence[str],
        folder: OpenFolder | None,
        hint: str | None,
    ) -> None:
        self.spec = spec
        self._array, self._crcs, self._folder, self._hint = array, crcs, folder, hint
        self._where = spec.name if folder is None else str(folder.path / spec.name)
        self._whole: set[int] = set()

    def chunk(self, number: int) -> np.ndarray:
        lo, hi = self.spec.rows_of(number)
        rows = self._read(slice(lo, hi))
        if number not in self._whole:
            if f"{crc32(rows):08x}" != self._crcs[number]:
                what = f"rows {lo:,} to {hi:,} are not those that were written"
                raise DamagedStoreError(f"{self._where}: damaged: {what}", self._hint)
            self._whole.add(number)
        return rows

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Ascending rows, int64 (n,), of chunks that are checked before."""
        for number in np.unique(rows // self.spec.chunk_rows).tolist():
            if number not in self._whole:
                self.chunk(number)
        return self._read(rows)

    def require_files(self) -> None:
        """Nothing is asked for: which files there should be, zarr alone knows, as it reads."""

    def _read(self, rows: Any) -> np.ndarray:
        if self._folder is not None:
            self._folder.require_there()
        try:
            read = self._array.oindex[(rows,)]
        # What metadata of other sizes and types lead to: zarr checks them as it reads.
        except _UNREADABLE as error:
            said = f"{self._where}: damaged: {reason(error)}"
            raise DamagedStoreError(said, self._hint) from error
        return np.ascontiguousarray(read, np.dtype(self.spec.dtype))
