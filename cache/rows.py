"""Rows of one stored array, in any order.

Chunk files that this package wrote are memory-mapped: a random batch then costs what numpy's own
indexing costs. Anything else (compressed, sharded, remote) goes through zarr.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cache.chunks import Chunks, ZarrChunks
from cache.layout import spans

_LARGE_ROW = 4096
"""Bytes from which copying row by row beats indexing into a temporary and copying that."""


class RowArray:
    """One array, read by rows; nothing is read before it is asked for."""

    def __init__(self, chunks: Chunks) -> None:
        spec = chunks.spec
        self.name = spec.name
        self.shape: tuple[int, ...] = spec.shape
        self.dtype: np.dtype[Any] = np.dtype(spec.dtype)
        self.chunk_rows: int = spec.chunk_rows
        self.chunks = chunks

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        how = "through zarr" if isinstance(self.chunks, ZarrChunks) else "memory-mapped"
        return f"RowArray({self.name}, {self.shape}, {self.dtype}, {how})"

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
        if isinstance(self.chunks, ZarrChunks):
            # zarr reads each chunk once if rows ascend.
            distinct, inverse = np.unique(rows, return_inverse=True)
            np.take(self.chunks.rows(distinct), inverse, axis=0, out=out, mode="clip")
        elif out[0].nbytes >= _LARGE_ROW:
            chunks, inside = np.divmod(rows, self.chunk_rows)
            for i, (chunk, row) in enumerate(zip(chunks.tolist(), inside.tolist(), strict=True)):
                out[i] = self.chunks.chunk(chunk)[row]
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
        views = [
            self.chunks.chunk(chunk)[inside : inside + count]
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
                self.chunks.chunk(chunk),
                rows - chunk * self.chunk_rows,
                axis=0,
                out=out,
                mode="clip",
            )
            return
        for places in np.split(order, starts[1:]):
            chunk = int(chunks[places[0]])
            out[places] = self.chunks.chunk(chunk)[rows[places] - chunk * self.chunk_rows]

    def require_files(self) -> None:
        """Look at every chunk file's size, at none of their bytes.

        Raises:
            StoreError: one is missing or of another size.
        """
        self.chunks.require_files()
