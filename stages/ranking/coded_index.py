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

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cache.locks import locked
from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.matcher import UnitSides
from stages.heads.side import Side
from stages.progress import progress
from stages.ranking.coded_files import Piece, Pieces, array_of, first_of, tensor_of
from stages.ranking.content_keys import content_keys, places

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it with any change of code that moves a number of a row."""

PIECE_ROWS = 65_536
"""At most; some 100 MB are held in memory before they are written."""

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
        return sum(len(first_of(block)) for block in self.blocks)

    @cached_property
    def in_order(self) -> bool:
        """Whether the views are the rows, as in an index that was made at once."""
        n = len(self.place)
        return self.rows == n and self.place.equal(torch.arange(n, device=self.place.device))

    def parts(self, rows: int) -> Iterator[UnitSides]:
        """All blocks, in parts of at most so many rows, which are no copies."""
        for block in self.blocks:
            n = len(first_of(block))
            for lo in range(0, n, rows):
                yield block if n <= rows else block.part(slice(lo, lo + rows))

    def take(self, unit: str, views: Tensor) -> Side:
        """One unit's rows of some views."""
        at = self.place[views]
        block = torch.bucketize(at, self._ends, right=True)
        parts, order = [], []
        for i in torch.unique(block).tolist():
            mine = (block == i).nonzero()[:, 0]
            first = 0 if i == 0 else int(self._ends[i - 1])
            parts.append(self.blocks[i].units[unit].take(at[mine] - first).to_arrays())
            order.append(mine)
        back = torch.cat(order).argsort()
        rows = {name: torch.cat([tensor_of(p[name]) for p in parts])[back] for name in parts[0]}
        return self.blocks[0].units[unit].from_arrays(rows)

    @cached_property
    def _ends(self) -> Tensor:
        """The row behind each block's last."""
        sizes = [len(first_of(block)) for block in self.blocks]
        return torch.tensor(sizes, device=self.place.device).cumsum(0)

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
        files = Pieces(folder, {"coded_index": VERSION, "run": run}, make(views.rows[:1]))
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
                        name: np.concatenate([array_of(part[name]) for part in parts])
                        for name in parts[0]
                    }
                    pieces.append(files.write(wanted[at], arrays))
            place = places(wanted, [piece.keys for piece in pieces])
            pieces, place = _compacted(files, pieces, wanted, place)
        blocks = [block for piece in pieces for block in files.blocks(piece, cached.device)]
        return cls(blocks, torch.from_numpy(place).to(cached.device), len(new))


def _compacted(
    files: Pieces, pieces: list[Piece], wanted: np.ndarray, place: np.ndarray
) -> tuple[list[Piece], np.ndarray]:
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
