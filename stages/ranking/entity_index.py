"""The entities' side of one trained run, written once, for who asks for a few mentions at a time.

index = EntityIndex.opened(folder, run, model, cached, views, size)
for start, side in index.blocks(): ...

Making that side reads the whole store and takes most of the time of linking one mention. Here it is
kept in pieces, each a feature store of its own with the side's named arrays (some 13 KB an entity
with CLIP ViT-B/32), the same bits as the model gives. What the arrays are only the side knows. A
piece is rebuilt when the run's weights or the store have changed.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from cache.build import building, recover
from cache.errors import DamagedStoreError, StoreError, reason
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.locks import locked
from cache.ragged import ascends
from cache.reader import FeatureStore
from stages.features.cached import CachedFeatures
from stages.features.stored import whole
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.side import Ragged, Rows, Side, joined
from stages.progress import progress
from stages.ranking.pieces import remove_piece, sweep_pieces, work_of

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it with any change of code that moves a number of the entities' side."""

PIECE_BLOCKS = 32
"""Blocks a piece: some 100 MB are held in memory before they are written."""

VALUES, OFFSETS = "values", "offsets"
"""Behind a ragged array's name: its rows, and where each view's lie."""

E = TypeVar("E", bound=Side)


@dataclass(frozen=True)
class EntityIndex(Generic[E]):
    """A finished index, by blocks of the views that it was made in; get one from `opened`.

    Args:
        like: the side of any view: what its arrays are called.
        size: views of a block, which are scored together.
    """

    pieces: list[FeatureStore]
    like: E
    views: int
    size: int
    device: torch.device

    @classmethod
    @torch.inference_mode()
    def opened(
        cls, folder: Path, run: str, model: Heads[Any, E], cached: CachedFeatures, views: Views,
        size: int,
    ) -> EntityIndex[E]:  # fmt: skip
        """Open the index in `folder`, or build it there; killed while it is built, it resumes.

        Args:
            run: what the model was made from: its weights' hash.
            size: views that are scored together.

        Raises:
            StoreError: the disk is full.
        """
        like = model.entities(cached.entities(views.rows[:1]))
        made_from = {"entity_index": VERSION, "run": run, "store": cached.store.identity}
        step = PIECE_BLOCKS * size
        targets = [folder / f"{lo:08d}.zarr" for lo in range(0, len(views), step)]
        folder.mkdir(parents=True, exist_ok=True)
        pieces = []
        with locked(folder), progress(len(views), "entities", "the entities' side") as bar:
            sweep_pieces(folder)
            for leftover in set(folder.glob("*.zarr")) - set(targets):
                remove_piece(leftover)
            for lo, target in zip(range(0, len(views), step), targets, strict=True):
                rows = views.rows[lo : lo + step]
                asked = Fingerprint({**made_from, "block": size, "views": [lo, lo + len(rows)]})
                piece = _found(target, asked, like)
                if piece is None:
                    _write(target, asked, _sides(model, cached, rows, size))
                    piece = FeatureStore.open(target, asked)
                pieces.append(piece)
                bar.update(len(rows))
        return cls(pieces, like, len(views), size, cached.device)

    def blocks(self) -> Iterator[tuple[int, E]]:
        """(first view, the side of the views from there on), as the model itself would give it."""
        for piece in self.pieces:
            lo, hi = piece.fingerprint.fields["views"]
            offsets = {
                name: whole(piece, f"{name}/{OFFSETS}")
                for name, rows in self.like.to_arrays().items()
                if isinstance(rows, Ragged)
            }
            for start in range(0, hi - lo, self.size):
                stop = min(start + self.size, hi - lo)
                yield lo + start, self._side(piece, offsets, start, stop)

    def _side(self, piece: FeatureStore, offsets: Mapping[str, np.ndarray], lo: int, hi: int) -> E:
        """Of views `lo … hi` of the piece."""
        found: dict[str, Rows] = {}
        for name in self.like.to_arrays():
            if name in offsets:
                bounds = offsets[name][lo : hi + 1]
                first, end = int(bounds[0]), int(bounds[-1])
                values = self._tensor(piece, f"{name}/{VALUES}", first, end)
                found[name] = Ragged(values, torch.from_numpy(bounds - bounds[0]).to(self.device))
            else:
                found[name] = self._tensor(piece, name, lo, hi)
        return self.side_of(found, piece)

    def side_of(self, found: Mapping[str, Rows], piece: FeatureStore) -> E:
        """A side of arrays that were read.

        Raises:
            DamagedStoreError: they make none.
        """
        try:
            return self.like.from_arrays(found)
        except ValueError as error:  # a matrix whose indices lead out of it
            again = f"remove {piece.path} and run the same command again"
            raise DamagedStoreError(f"{piece.path}: damaged: {reason(error)}", again) from None

    def _tensor(self, piece: FeatureStore, name: str, lo: int, hi: int) -> Tensor:
        # Copied: torch would warn of a tensor over memory that cannot be written.
        return torch.from_numpy(np.array(piece[name].slice(lo, hi))).to(self.device)


def _found(target: Path, asked: Fingerprint, like: Side) -> FeatureStore | None:
    """The finished piece at `target`, made from what is asked; None if there is no such."""
    recover(work_of(target), target)
    try:
        piece = FeatureStore.open(target, asked)
        require_side(piece, like)
        piece.verify()  # all of it will be read anyway, and what was compared once is not again
    except StoreError as error:
        if target.exists():
            log.info("%s\n  it is made again", error.message)
    else:
        return piece
    gc.collect()  # what an error's frames hold open is not removed when it is replaced
    return None


def require_side(piece: FeatureStore, like: Side) -> None:
    """Raises StoreError unless the piece's arrays make a side of its views."""
    lo, hi = piece.fingerprint.fields["views"]
    for name, rows in like.to_arrays().items():
        values, shape = name, (hi - lo,)
        if isinstance(rows, Ragged):
            values = f"{name}/{VALUES}"
            offsets = whole(piece, f"{name}/{OFFSETS}")
            shape = (len(piece[values]),)
            ends = len(offsets) == hi - lo + 1 and (offsets[0], offsets[-1]) == (0, shape[0])
            if offsets.dtype != np.int64 or not ends or not ascends(offsets):
                raise StoreError(f"{piece.path}: {name}/{OFFSETS} are none")
            rows = rows.values
        expected = shape + tuple(rows.shape[1:]), rows.cpu().numpy().dtype
        if (piece[values].shape, piece[values].dtype) != expected:
            raise StoreError(f"{piece.path}: {values} is not of the shape and type of this side")


def _sides(
    model: Heads[Any, E], cached: CachedFeatures, rows: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Every array of the side of these entities, made in blocks of `size`."""
    blocks = [
        model.entities(cached.entities(rows[at : at + size])).to_arrays()
        for at in range(0, len(rows), size)
    ]
    found: dict[str, np.ndarray] = {}
    for name in blocks[0]:
        every = joined([block[name] for block in blocks])
        if isinstance(every, Ragged):
            found[f"{name}/{OFFSETS}"] = every.offsets.cpu().numpy()
            found[f"{name}/{VALUES}"] = every.values.cpu().numpy()
        else:
            found[name] = every.cpu().numpy()
    return found


def _write(target: Path, asked: Fingerprint, arrays: dict[str, np.ndarray]) -> None:
    specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
    with building(target, work_of(target), asked.digest, asked, specs) as build:
        build.write("views", [(name, 0, values) for name, values in arrays.items()])
        build.finish(["views"], {})
