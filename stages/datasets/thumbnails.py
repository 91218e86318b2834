"""Small squares of all pictures, by which a re-encoded copy is known from another picture.

A copy that was saved again, in another format, size or quality, has nearly the pixels of the first
one once both are a few pixels wide; other pictures, of the same thing even, do not.
"""

import io
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cache.errors import MelovError
from cache.files import atomic_path
from cache.sealed import digest_of
from stages.datasets.decoding.picture import PictureError, quiet_pillow, read_bytes, rgb
from stages.progress import progress

logger = logging.getLogger(__name__)

SIDE, COARSE = 16, 4
"""Cells a side of the squares of luminance and of colour."""

MOST_RMS, MOST_LEVEL, MOST_COLOUR = 2.0, 6.0, 12.0
"""Of 255 levels: the root mean square and the largest difference of luminance, and the largest of
colour, up to which two pictures are copies. Poor JPEG and half the size move them by 1.4, 5.8 and
8; JPEG keeps colours at half the resolution, so they move most."""
FLAT = 4.0
"""Standard deviation of luminance below which a picture is one tone: bytes alone tell a copy."""
BLOCK = 256
GROUP = 32
BYTES = SIDE**2 + 3 * COARSE**2


def square(data: bytes) -> np.ndarray:
    """Luminance of SIDE x SIDE cells, then colours of COARSE x COARSE, uint8 (BYTES,).

    Raises:
        PictureError: the picture has no pixels.
    """
    picture = rgb(data, draft=4 * SIDE)
    # BILINEAR averages over a cell and its neighbours' halves: the same at any size of the picture.
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    colours = picture.resize((COARSE, COARSE), Image.Resampling.BILINEAR)
    return np.concatenate([np.asarray(grey).ravel(), np.asarray(colours).ravel()])


class Squares:
    """Squares of SIDE by the hash of a picture's bytes, remembered in a file.

    Args:
        path: None, or a damaged file, starts empty.
    """

    NAME = "picture-squares.parquet"
    SCHEMA = pa.schema([("key", pa.string()), ("square", pa.binary())])

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._of: dict[str, bytes] = {}
        if path is None or not path.exists():
            return
        try:
            content = path.read_bytes()
            if digest_of(content[32:]).encode() != content[:32]:
                raise ValueError("its checksum differs")
            table = pq.read_table(pa.BufferReader(content[32:]), schema=self.SCHEMA)
            self._of = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
        except (pa.ArrowException, OSError, ValueError) as error:
            logger.warning("%s: damaged, decoding every picture again (%s)", path, error)

    def of(self, files: Mapping[str, Path]) -> dict[str, np.ndarray]:
        """Each picture's square, by its key; what cannot be decoded is left out.

        Args:
            files: the file of each key.
        """
        new = [key for key in files if key not in self._of]
        groups = [new[lo : lo + GROUP] for lo in range(0, len(new), GROUP)]
        with (
            quiet_pillow(),
            ThreadPoolExecutor(os.cpu_count() or 1) as pool,
            progress(len(new), "pictures", "comparing pictures") as bar,
        ):
            found = pool.map(lambda group: [_bytes(files[key]) for key in group], groups)
            for group, squares in zip(groups, found, strict=True):
                self._of |= dict(zip(group, squares, strict=True))
                bar.update(len(group))
        self._of = {key: self._of[key] for key in files}
        return {key: np.frombuffer(v, np.uint8) for key, v in self._of.items() if v}

    def save(self) -> None:
        """Write the squares that were asked for last, so that those of lost pictures go."""
        if self.path is None:
            return
        table = pa.table([list(self._of), list(self._of.values())], schema=self.SCHEMA)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(digest_of(buffer.getvalue()).encode() + buffer.getvalue())


def _bytes(file: Path) -> bytes:
    """Of a square; nothing where the picture has no pixels."""
    try:
        return square(read_bytes(file)).tobytes()
    except (PictureError, MelovError):
        return b""


def near(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) of squares that show one picture; those of one tone are in none.

    Args:
        first, second: uint8 (m, BYTES) and (n, BYTES).
    """
    rows, columns = (np.flatnonzero(x[:, : SIDE**2].std(1) >= FLAT) for x in (first, second))
    if not len(rows) or not len(columns):
        return
    # About the middle level, so that float32 sums keep their digits: they err by less than 4.
    left, right = (x[:, : SIDE**2].astype(np.float32) - 128 for x in (first[rows], second[columns]))
    squared, most = (right**2).sum(1), MOST_RMS**2 * SIDE**2 + 8
    for lo in range(0, len(left), BLOCK):
        part = left[lo : lo + BLOCK]
        with np.errstate(invalid="ignore"):  # BLAS may raise that flag for lanes that it drops
            distances = squared - 2 * (part @ right.T)
        found = np.nonzero(distances <= most - (part**2).sum(1)[:, None])
        for i, j in zip(rows[lo + found[0]].tolist(), columns[found[1]].tolist(), strict=True):
            if alike(first[i], second[j]):
                yield i, j


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two squares show one picture, saved twice."""
    difference = np.abs(first.astype(np.float64) - second)
    luminance, colour = difference[: SIDE**2], difference[SIDE**2 :]
    rms = float(np.sqrt((luminance**2).mean()))
    return bool(rms <= MOST_RMS and luminance.max() <= MOST_LEVEL and colour.max() <= MOST_COLOUR)
