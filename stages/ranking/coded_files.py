"""The files of an index of coded entities: pieces, each a store that is named by its keys."""

from __future__ import annotations

import gc
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.build import building
from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from stages.features.stored import whole
from stages.heads.matcher import UnitSides
from stages.heads.side import Rows
from stages.ranking.content_keys import KEY_BYTES
from stages.ranking.pieces import pieces_in, remove_piece, sweep_pieces, work_of

log = logging.getLogger(__name__)

KEYS = "keys"
BLOCK_ROWS = 65_536
"""At most, of one tensor in memory."""


@dataclass(frozen=True)
class Piece:
    """keys: uint8 (n, 32); arrays: n rows each."""

    path: Path
    keys: np.ndarray
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Pieces:
    """The pieces in a folder.

    like: a side of any entity: what its arrays are called, and their types.
    hint: what mends a piece, for messages; None where the next opening does.
    """

    folder: Path
    made_from: dict[str, Any]
    like: UnitSides
    hint: str | None = None

    def read(self) -> list[Piece]:
        """Every piece that is whole and of this run; the others are removed."""
        found = []
        sweep_pieces(self.folder)
        for path in pieces_in(self.folder):
            try:
                found.append(self.opened(path))
            except StoreError as error:
                log.info("%s\n  what it held is made again", error.message)
                self._remove(path)
        return found

    def write(self, keys: np.ndarray, arrays: dict[str, np.ndarray]) -> Piece:
        digest = self._digest(keys)
        target, asked = self.folder / f"{digest}.zarr", self._fingerprint(digest)
        arrays = {KEYS: keys, **arrays}
        specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
        with building(target, work_of(target), asked.digest, asked, specs) as build:
            build.write("rows", [(name, 0, values) for name, values in arrays.items()])
            build.finish(["rows"], {})
        return self.opened(target)

    def drop(self, piece: Piece) -> None:
        self._remove(piece.path)

    def blocks(self, piece: Piece, device: torch.device) -> list[UnitSides]:
        """In memory."""
        found = []
        for lo in range(0, len(piece), BLOCK_ROWS):
            rows = {
                # Copied: torch would warn of a tensor over memory that cannot be written.
                name: torch.from_numpy(np.array(values[lo : lo + BLOCK_ROWS])).to(device)
                for name, values in piece.arrays.items()
            }
            found.append(self.like.from_arrays(rows))
        return found

    def opened(self, path: Path) -> Piece:
        """Raises StoreError for another run's piece, or one that is not as it was written."""
        piece = FeatureStore.open(path, self._fingerprint(path.stem), self.hint)
        keys = whole(piece, KEYS)
        if keys.dtype != np.uint8 or keys.shape[1:] != (2 * KEY_BYTES,):
            raise StoreError(f"{path}: {KEYS} are none", self.hint)
        if self._digest(keys) != path.stem:
            raise StoreError(f"{path}: {KEYS} are another piece's", self.hint)
        arrays = {}
        for name, like in self.like.to_arrays().items():
            values, one = piece[name], array_of(like)
            if (values.shape, values.dtype) != ((len(keys), *one.shape[1:]), one.dtype):
                what = f"{path}: {name} is not of the shape and type of this side"
                raise StoreError(what, self.hint)
            arrays[name] = values.slice(0, len(keys))  # compares checksums
        return Piece(path, keys, arrays)

    def _fingerprint(self, digest: str) -> Fingerprint:
        return Fingerprint({**self.made_from, "keys": digest})

    def _remove(self, path: Path) -> None:
        gc.collect()  # what an error's frames hold open is not removed
        remove_piece(path)

    def _digest(self, keys: np.ndarray) -> str:
        """Pieces of two runs have two names: the older one goes before the newer one is whole."""
        run = Fingerprint(self.made_from).digest.encode()
        return hashlib.blake2b(run + keys.tobytes(), digest_size=16).hexdigest()


def array_of(rows: Rows) -> np.ndarray:
    return tensor_of(rows).cpu().numpy()


def first_of(block: UnitSides) -> Tensor:
    return tensor_of(next(iter(block.to_arrays().values())))


def tensor_of(rows: Rows) -> Tensor:
    assert isinstance(rows, Tensor)  # no unit keeps some rows an entity
    return rows
