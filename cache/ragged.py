"""Items of different lengths, stored end to end: no padding on the disk."""

import numpy as np
from numpy.typing import ArrayLike

from cache.errors import StoreError
from cache.rows import RowArray


def ascends(offsets: np.ndarray) -> bool:
    """Whether these are offsets, shape: (n,), none of them below the one before it.

    Compared, since the difference of two extreme numbers wraps round to a positive one: so does
    SciPy's own check of a CSR matrix, and what follows such offsets reads other memory.
    """
    return offsets.ndim == 1 and bool((offsets[1:] >= offsets[:-1]).all())


class RaggedArray:
    """Item i is `values[start:stop]`, by its own pair of offsets.

    Args:
        values: shape: (total, *trailing shape).
        offsets: int64, ascending, either [start, stop) of each item, shape: (n, 2), where rows
            between items may be unused; or without gaps from 0 to total, shape: (n + 1,).

    Raises:
        StoreError: the offsets do not fit the values.
    """

    def __init__(self, values: RowArray, offsets: np.ndarray) -> None:
        offsets = np.asarray(offsets, dtype=np.int64)
        total = len(values)
        if offsets.ndim == 1 and len(offsets):
            fits = offsets[0] == 0 and offsets[-1] == total
            self.starts, self._stops = offsets[:-1], offsets[1:]
        elif offsets.ndim == 2 and offsets.shape[1] == 2:
            fits = bool(((offsets >= 0) & (offsets <= total)).all())
            self.starts, self._stops = offsets[:, 0], offsets[:, 1]
        else:
            fits = False
        if not fits or not ascends(offsets.reshape(-1)):
            raise StoreError(
                f"{values.name}: offsets of shape {offsets.shape} do not ascend within its "
                f"{total} rows"
            )
        self.values = values

    def __len__(self) -> int:
        return len(self.starts)

    def lengths(self, rows: ArrayLike) -> np.ndarray:
        """Length of each item asked for, int64, shape: (n,).

        Raises:
            IndexError: a row is negative or past the end.
        """
        return self._bounds(rows)[1]

    def gather(self, rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The items end to end, shape: (total, *trailing shape), and their lengths, shape: (n,).

        Raises:
            IndexError: a row is negative or past the end.
        """
        starts, lengths = self._bounds(rows)
        return self._gather(starts, lengths), lengths

    def gather_padded(
        self, rows: ArrayLike, max_length: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The items side by side, zeros after each one's end.

        Args:
            rows: integers, shape: (n,).
            max_length: longer items lose their end.

        Returns:
            items, shape: (n, longest, *trailing shape), and a mask that is True on real values,
            shape: (n, longest).

        Raises:
            IndexError: a row is negative or past the end.
        """
        starts, lengths = self._bounds(rows)
        if max_length is not None:
            lengths = np.minimum(lengths, max_length)
        longest = int(lengths.max(initial=0))
        mask = np.arange(longest) < lengths[:, None]  # (n, longest)
        padded = np.zeros((len(lengths), longest, *self.values.shape[1:]), self.values.dtype)
        padded[mask] = self._gather(starts, lengths)
        return padded, mask

    def _bounds(self, rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.intp)
        wrong = (rows < 0) | (rows >= len(self))
        if wrong.any():
            raise IndexError(
                f"{self.values.name}: item {rows[wrong.argmax()]} is out of range for {len(self)}"
            )
        starts = self.starts[rows]
        return starts, self._stops[rows] - starts

    def _gather(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        before = np.cumsum(lengths) - lengths  # where each item begins in the result
        positions = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
        return self.values.gather(positions)
