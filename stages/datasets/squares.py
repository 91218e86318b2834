"""Small squares of all pictures, by which a re-encoded copy is known from another picture.

A copy that was saved again, in another format, size or quality, has nearly the pixels of the first
one once both are a few pixels wide; other pictures, of the same thing even, do not.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from cache.errors import MelovError
from stages.datasets.decoding.picture import PictureError, quiet_pillow, read_bytes, rgb
from stages.datasets.remembered import remember, remembered
from stages.progress import progress

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

    NAME = "picture-squares-1.parquet"
    """With the version of what a square is."""
    SCHEMA = pa.schema([("key", pa.string()), ("square", pa.binary())])

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        found = remembered(path, self.SCHEMA, "decoding every picture again")
        self._of: dict[str, bytes] = dict(zip(*found.values(), strict=True))

    @classmethod
    def known(cls, squares: Mapping[str, np.ndarray]) -> "Squares":
        """Of these pictures, by their keys, and in no file."""
        found = cls()
        found._of = {key: square.tobytes() for key, square in squares.items()}
        return found

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
                pairs = zip(group, squares, strict=True)
                self._of |= {key: said for key, said in pairs if said is not None}
                bar.update(len(group))
        self._of = {key: self._of[key] for key in files if key in self._of}
        return {key: np.frombuffer(v, np.uint8) for key, v in self._of.items() if v}

    def save(self) -> None:
        """Write the squares that were asked for last, so that those of lost pictures go."""
        if self.path is None:
            return
        remember(self.path, pa.table([list(self._of), list(self._of.values())], schema=self.SCHEMA))


def _bytes(file: Path) -> bytes | None:
    """Of a square: empty where the bytes have no pixels, which is remembered; None where the file
    cannot be read now."""
    try:
        return square(read_bytes(file)).tobytes()
    except PictureError:
        return b""
    except MelovError:
        return None


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
