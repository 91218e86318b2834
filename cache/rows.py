"""Rows of one stored array, in any order.

An uncompressed local array is memory-mapped chunk file by chunk file: a random batch then costs
what numpy's own indexing costs. Anything else (compressed, sharded, remote) goes through zarr.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import ArrayLike
from zarr.codecs import BytesCodec

from cache.checksum import crc32
from cache.errors import StoreError
from cache.layout import spans

_LARGE_ROW = 4096
"""Bytes from which copying row by row beats indexing into a temporary and copying that."""


class RowArray:
    """One array, read by rows; nothing is read before it is asked for.

    Args:
        name: as in the store, for messages.
        array: zarr's own.
        folder: of its chunk files; None if they cannot be mapped.
        checksum: the CRC-32 that the ledger has for the array.
        hint: the command that mends the store, for messages.
    """

    def __init__(
        self,
        name: str,
        array: zarr.Array[Any],
        folder: Path | None,
        checksum: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.name = name
        self._checksum, self._hint = checksum, hint
        self._fill_is_right = False
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.chunk_rows: int = array.chunks[0]
        self._array = array
        self._folder = folder if _is_plain(array) else None
        self._maps: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        how = "through zarr" if self._folder is None else "memory-mapped"
        return f"RowArray({self.name}, {self.shape}, {self.dtype}, {how})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickled map would carry its data along.
        return {**self.__dict__, "_maps": {}}

    def gather(self, rows: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """The rows asked for, in their order; repeats are fine.

        Args:
            rows: integers, shape: (n,).
            out: where to put them, of the result's shape and dtype.

        Returns:
            shape: (n, *trailing shape), a copy; `out` if given.

        Raises:
            IndexError: a row is negative or past the end.
            ValueError: `out` does not fit.
            StoreError: a chunk file is damaged.
        """
        rows = self._checked(rows)
        shape = (len(rows), *self.shape[1:])
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype:
            raise ValueError(
                f"{self.name}: out is {out.dtype} of shape {out.shape}, "
                f"expected {self.dtype} of shape {shape}"
            )
        if out.size == 0:
            return out
        if self._folder is None:
            # zarr reads each chunk once if rows ascend.
            distinct, inverse = np.unique(rows, return_inverse=True)
            np.take(self._array.oindex[(distinct,)], inverse, axis=0, out=out, mode="clip")
        elif out[0].nbytes >= _LARGE_ROW:
            chunks, inside = np.divmod(rows, self.chunk_rows)
            for i, (chunk, row) in enumerate(zip(chunks.tolist(), inside.tolist(), strict=True)):
                out[i] = self._chunk(chunk)[row]
        else:
            self._gather_by_chunk(rows, out)
        return out

    def slice(self, lo: int, hi: int) -> np.ndarray:
        """Rows `lo … hi`, shape: (hi - lo, *trailing shape).

        A read-only view of the mapped file if they lie in one chunk, else a copy.

        Raises:
            IndexError: not 0 <= lo <= hi <= length.
            StoreError: a chunk file is damaged.
        """
        if not 0 <= lo <= hi <= len(self):
            raise IndexError(f"{self.name}: rows {lo} to {hi} are out of range for {len(self)}")
        shape = (hi - lo, *self.shape[1:])
        if 0 in shape:
            return np.empty(shape, self.dtype)
        if self._folder is None:
            return np.asarray(self._array[lo:hi])
        views = [
            self._chunk(chunk)[inside : inside + count]
            for chunk, inside, count in spans(lo, hi - lo, self.chunk_rows)
        ]
        return views[0] if len(views) == 1 else np.concatenate(views)

    def _checked(self, rows: ArrayLike) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.intp)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise IndexError(
                f"{self.name}: rows are {rows.dtype} of shape {rows.shape}, expected (n,) integers"
            )
        wrong = (rows < 0) | (rows >= len(self))
        if wrong.any():
            raise IndexError(
                f"{self.name}: row {rows[wrong.argmax()]} is out of range for {len(self)} rows"
            )
        return rows.astype(np.intp, copy=False)

    def _gather_by_chunk(self, rows: np.ndarray, out: np.ndarray) -> None:
        chunks = rows // self.chunk_rows
        order = np.argsort(chunks, kind="stable")
        ordered = chunks[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        if len(starts) == 1:
            chunk = int(ordered[0])
            np.take(
                self._chunk(chunk), rows - chunk * self.chunk_rows, axis=0, out=out, mode="clip"
            )
            return
        for places in np.split(order, starts[1:]):
            chunk = int(chunks[places[0]])
            out[places] = self._chunk(chunk)[rows[places] - chunk * self.chunk_rows]

    def _chunk(self, chunk: int) -> np.ndarray:
        """One mapped chunk, shape: (chunk rows, *trailing shape)."""
        mapped = self._maps.get(chunk)
        if mapped is None:
            mapped = self._maps[chunk] = self._map(chunk)
        return mapped

    def require_files(self) -> None:
        """Look at every chunk file's size, at none of their bytes.

        Raises:
            StoreError: one is missing or of another size.
        """
        if self._folder is not None and np.prod(self.shape, dtype=np.int64):
            for chunk in range(-(-len(self) // self.chunk_rows)):
                self._file(chunk)

    def _file(self, chunk: int) -> Path | None:
        """A chunk's file, whole by its size; None where it rightly holds the fill value alone."""
        assert self._folder is not None
        key = self._array.metadata.encode_chunk_key((chunk, *(0 for _ in self.shape[1:])))
        path = self._folder / key
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            self._require_fill(path)
            return None
        wanted = self.chunk_rows * math.prod(self.shape[1:]) * self.dtype.itemsize
        if size != wanted:
            raise StoreError(f"{path}: damaged: {size:,} bytes, expected {wanted:,}", self._hint)
        return path

    def _require_fill(self, path: Path) -> None:
        """For zarr a chunk without a file holds the fill value, and programs that rewrite a store
        leave such files away. One that was lost looks the same: the checksum tells."""
        if self._fill_is_right or self._checksum is None:
            return
        crc = 0
        for lo in range(0, len(self), self.chunk_rows):
            crc = crc32(np.asarray(self._array[lo : lo + self.chunk_rows]), crc)
        if f"{crc:08x}" != self._checksum:
            raise StoreError(f"{path}: damaged: the file is missing", self._hint)
        self._fill_is_right = True

    def _map(self, chunk: int) -> np.ndarray:
        path = self._file(chunk)
        shape = (self.chunk_rows, *self.shape[1:])
        if path is None:
            return np.broadcast_to(np.asarray(self._array.fill_value, self.dtype), shape)
        # As a plain array: np.memmap does work of its own on each indexing.
        return np.memmap(path, self.dtype, mode="r", shape=shape).view(np.ndarray)


def _is_plain(array: zarr.Array[Any]) -> bool:
    """Whether each chunk file is a C-order array of whole rows, in this machine's byte order."""
    if array.shards is not None or array.compressors or array.filters:
        return False
    if array.metadata.zarr_format != 3 or not isinstance(array.serializer, BytesCodec):
        return False
    endian = array.serializer.endian
    native = np.dtype(array.dtype).isnative and getattr(endian, "value", "little") == "little"
    return native and array.chunks[1:] == tuple(max(1, size) for size in array.shape[1:])
