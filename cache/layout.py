"""How an array lies on disk: rows in chunk files, each of which is a C-order array."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LAYOUT_VERSION = 2
"""Of everything that this package writes; the reader refuses any other."""

GROUP = "features.zarr"
"""The group's name inside a work folder."""

LEDGER_KEY = "melov"
"""The root attribute that says what a store was made from and that it is finished."""

CHUNK_BYTES = 64 * 2**20
"""Large enough for sequential disks, small enough that DVC can hash one array in parallel."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store.

    Args:
        name: path inside the group, such as `texts/local`.
        shape: rows first.
        dtype: numpy's name, such as `float16`; stored little-endian.
        chunk_rows: rows of one chunk file; 0 picks near-equal chunks of at most 64 MiB (one row, if
            a row is larger). Never more than the array's rows, never less than 1.

    Raises:
        ValueError: the name, the shape or the dtype cannot be stored.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunk_rows: int = 0

    def __post_init__(self) -> None:
        if not all(part.strip(".") and not part.startswith("__") for part in self.name.split("/")):
            raise ValueError(f"'{self.name}' cannot name an array; expected such as 'texts/local'")
        shape = tuple(int(size) for size in self.shape)
        if not shape or min(shape) < 0:
            raise ValueError(f"{self.name}: shape {self.shape}; expected rows first, none negative")
        dtype = np.dtype(self.dtype)
        if dtype.kind not in "biuf":
            raise ValueError(f"{self.name}: dtype {self.dtype}; expected a bool, integer or float")
        # A frozen dataclass normalises its own fields in no other way.
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", dtype.name)
        object.__setattr__(self, "chunk_rows", self._resolved_chunk_rows())

    def _resolved_chunk_rows(self) -> int:
        rows = self.shape[0]
        if self.chunk_rows > 0:
            return min(self.chunk_rows, max(1, rows))
        most = max(1, CHUNK_BYTES // max(1, self.row_bytes))
        # zarr pads the last chunk to full size: equal chunks pad by less than a row each.
        return max(1, math.ceil(rows / max(1, math.ceil(rows / most))))

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def n_chunks(self) -> int:
        """Chunk files; none for an array without elements."""
        return math.ceil(self.shape[0] / self.chunk_rows) if self.row_bytes else 0

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """As zarr wants it: no side is 0."""
        return (self.chunk_rows, *(max(1, size) for size in self.shape[1:]))

    @property
    def chunk_bytes(self) -> int:
        return self.chunk_rows * self.row_bytes

    def key(self, chunk: int) -> str:
        """The path in the group of the file of rows `chunk * chunk_rows` onwards."""
        return f"{self.name}/" + ".".join(["c", str(chunk), *("0" for _ in self.shape[1:])])

    def files(self, group: Path, start: int, rows: int) -> Iterator[tuple[Path, int]]:
        """The chunk files of whole chunks of rows, and how many bytes of the rows each holds."""
        for lo in range(start, start + rows if self.row_bytes else start, self.chunk_rows):
            count = min(self.chunk_rows, start + rows - lo)
            yield group / self.key(lo // self.chunk_rows), count * self.row_bytes

    def rows_of(self, chunk: int) -> tuple[int, int]:
        """First and end row of a chunk file."""
        lo = chunk * self.chunk_rows
        return lo, min(lo + self.chunk_rows, self.shape[0])

    def require_whole_chunks(self, start: int, rows: int) -> None:
        """Raises ValueError unless rows `start … start + rows` are whole chunk files."""
        stop, c = start + rows, self.chunk_rows
        if rows and (start % c or (stop % c and stop != self.shape[0])):
            raise ValueError(
                f"{self.name}: rows {start} to {stop} are not whole chunks of {c} rows, of "
                f"{self.shape[0]}"
            )


def spans(start: int, rows: int, chunk_rows: int) -> Iterator[tuple[int, int, int]]:
    """Split rows at chunk borders: (chunk, first row inside it, rows of it)."""
    stop = start + rows
    while start < stop:
        chunk, inside = divmod(start, chunk_rows)
        count = min(chunk_rows - inside, stop - start)
        yield chunk, inside, count
        start += count


def check_names(specs: Iterable[ArraySpec]) -> None:
    """Raises ValueError if two arrays share a name or one's name is a folder of another."""
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1 or any(other.startswith(f"{name}/") for other in names):
            raise ValueError(f"'{name}' names two arrays, or an array and a group")
