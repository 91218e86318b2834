"""Every entity in eight bits a number, on the disk and in memory; the knowledge base may change.

A row belongs to the keys of an entity's text and picture, under which a store holds their features.
So it stays when entities are added, renamed or removed and when their order changes: what is new is
made, in a piece of its own, and once a fifth of the rows is of no entity any more, what lives moves
into pieces of its own. The rows bound scores (`stages/heads/units/codes.py`); exact ones come of
the store.

A feature that was encoded again under its key may differ in its last bits from the one that a row
was made of, by less than a tenth of what the row's own eight bits lose.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import shutil
from collections.abc import Callable
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
from cache.locks import locked
from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.features.stored import whole
from stages.features.views import Views
from stages.heads.matcher import UnitSides
from stages.progress import progress
from stages.ranking.content_keys import KEY_BYTES, content_keys, places
from stages.ranking.pieces import pieces_in, work_of

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it with any change of code that moves a number of a row."""

KEYS = "keys"
PIECE_ROWS = 65_536
"""At most; some 100 MB are held in memory before they are written."""

BLOCK_ROWS = 8192
"""Scored together: what a mention's bounds need of them stays in the processor's cache."""

DEAD = 0.2
"""Share of rows that are of no entity any more from which on they are moved out."""

Make = Callable[[np.ndarray], UnitSides]
"""Entities' rows of the knowledge base -> their side in eight bits."""


@dataclass(frozen=True)
class CodedIndex:
    """Get one from `opened`.

    Args:
        blocks: all rows, at most BLOCK_ROWS each.
        place: (views,) each view's row among them.
        made: rows that opening made.
    """

    blocks: list[UnitSides]
    place: Tensor
    made: int

    @property
    def rows(self) -> int:
        """Of entities and of none."""
        return sum(len(_first(block)) for block in self.blocks)

    @classmethod
    @torch.inference_mode()
    def opened(
        cls, folder: Path, run: str, make: Make, cached: CachedFeatures, views: Views, size: int
    ) -> CodedIndex:
        """Open the index in `folder` and make what it lacks; killed meanwhile, it resumes.

        Args:
            run: what `make` goes by: its weights' hash.
            size: entities that are made together.

        Raises:
            StoreError: the disk is full.
        """
        wanted = content_keys(cached, views.rows)
        files = _Files(folder, {"coded_index": VERSION, "run": run}, make(views.rows[:1]))
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            pieces = files.read()
            place = places(wanted, [piece.keys for piece in pieces])
            new = np.flatnonzero(place < 0)
            new = new[np.unique(wanted[new], axis=0, return_index=True)[1]]
            new.sort()  # views stand by length
            with progress(len(new), "entities", "the entities' side") as bar:
                for lo in range(0, len(new), PIECE_ROWS):
                    at = new[lo : lo + PIECE_ROWS]
                    parts = []
                    for start in range(0, len(at), size):
                        parts.append(make(views.rows[at[start : start + size]]).to_arrays())
                        bar.update(min(size, len(at) - start))
                    arrays = {
                        name: np.concatenate([_array(part[name]) for part in parts])
                        for name in parts[0]
                    }
                    pieces.append(files.write(wanted[at], arrays))
            place = places(wanted, [piece.keys for piece in pieces])
            pieces, place = _compacted(files, pieces, wanted, place)
        blocks = [block for piece in pieces for block in files.blocks(piece, cached.device)]
        return cls(blocks, torch.from_numpy(place).to(cached.device), len(new))


@dataclass(frozen=True)
class _Piece:
    """keys: uint8 (n, 32); arrays: n rows each."""

    path: Path
    keys: np.ndarray
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class _Files:
    """The pieces in a folder.

    like: a side of any entity: what its arrays are called, and their types.
    """

    folder: Path
    made_from: dict[str, Any]
    like: UnitSides

    def read(self) -> list[_Piece]:
        """Every piece that is whole and of this run; the others are removed."""
        found = []
        for path in pieces_in(self.folder):
            try:
                found.append(self._opened(path))
            except StoreError as error:
                log.info("%s\n  what it held is made again", error.message)
                self._remove(path)
        return found

    def write(self, keys: np.ndarray, arrays: dict[str, np.ndarray]) -> _Piece:
        digest = _digest(keys)
        target, asked = self.folder / f"{digest}.zarr", self._fingerprint(digest)
        arrays = {KEYS: keys, **arrays}
        specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
        with building(target, work_of(target), asked.digest, asked, specs) as build:
            build.write("rows", [(name, 0, values) for name, values in arrays.items()])
            build.finish(["rows"], {})
        return self._opened(target)

    def drop(self, piece: _Piece) -> None:
        self._remove(piece.path)

    def blocks(self, piece: _Piece, device: torch.device) -> list[UnitSides]:
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

    def _opened(self, path: Path) -> _Piece:
        """Raises StoreError for another run's piece, or one that is not as it was written."""
        piece = FeatureStore.open(path, self._fingerprint(path.stem))
        keys = whole(piece, KEYS)
        if keys.dtype != np.uint8 or keys.shape[1:] != (2 * KEY_BYTES,):
            raise StoreError(f"{path}: {KEYS} are none")
        if _digest(keys) != path.stem:
            raise StoreError(f"{path}: {KEYS} are another piece's")
        arrays = {}
        for name, like in self.like.to_arrays().items():
            values, one = piece[name], _array(like)
            if (values.shape, values.dtype) != ((len(keys), *one.shape[1:]), one.dtype):
                raise StoreError(f"{path}: {name} is not of the shape and type of this side")
            arrays[name] = values.slice(0, len(keys))  # compares checksums
        return _Piece(path, keys, arrays)

    def _fingerprint(self, digest: str) -> Fingerprint:
        return Fingerprint({**self.made_from, "keys": digest})

    def _remove(self, path: Path) -> None:
        gc.collect()  # what an error's frames hold open is not removed
        shutil.rmtree(path)


def _compacted(
    files: _Files, pieces: list[_Piece], wanted: np.ndarray, place: np.ndarray
) -> tuple[list[_Piece], np.ndarray]:
    """Without rows that are of no entity, where they are too many."""
    rows = sum(map(len, pieces))
    alive = np.zeros(rows, bool)
    alive[place] = True
    if rows - alive.sum() <= DEAD * rows:
        return pieces, place
    ends = np.cumsum([0, *map(len, pieces)])
    kept = [p for p, lo, hi in zip(pieces, ends, ends[1:], strict=False) if alive[lo:hi].all()]
    torn = [
        (p, alive[lo:hi]) for p, lo, hi in zip(pieces, ends, ends[1:], strict=False)
        if not alive[lo:hi].all()
    ]  # fmt: skip
    keys = np.concatenate([p.keys[live] for p, live in torn])
    arrays = {
        name: np.concatenate([p.arrays[name][live] for p, live in torn])
        for name in torn[0][0].arrays
    }
    for lo in range(0, len(keys), PIECE_ROWS):
        part = slice(lo, lo + PIECE_ROWS)
        kept.append(files.write(keys[part], {name: a[part] for name, a in arrays.items()}))
    log.info("the index: %s rows that are of no entity were moved out", rows - len(wanted))
    names = {piece.path for piece in kept}
    for piece, _ in torn:
        if piece.path not in names:
            files.drop(piece)
    return kept, places(wanted, [piece.keys for piece in kept])


def _digest(keys: np.ndarray) -> str:
    return hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()


def _array(rows: Any) -> np.ndarray:
    found: np.ndarray = rows.cpu().numpy()
    return found


def _first(block: UnitSides) -> Any:
    return next(iter(block.to_arrays().values()))
