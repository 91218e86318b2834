"""Where the pieces of an index of entities lie, and where they are made; needs no torch."""

import shutil
from pathlib import Path

from cache.build import recover
from cache.disk import children
from cache.finish import SWEPT, discard

_PARTIAL = ".partial"


def work_of(piece: Path) -> Path:
    """The folder of unfinished work of a piece."""
    return piece.parent / _PARTIAL / piece.stem


def pieces_in(folder: Path) -> list[Path]:
    """The finished pieces of an index, also one that a kill left just before its place."""
    for work in children(folder / _PARTIAL):
        recover(work, folder / f"{work.name}.zarr")
    return sorted(folder.glob("*.zarr"))


def remove_piece(piece: Path) -> None:
    """At once for all who look: `sweep_pieces` removes what a kill leaves of it."""
    discard(piece, piece.parent)


def sweep_pieces(folder: Path) -> None:
    """Remove what is left of removed pieces; for who holds the index's lock."""
    for path in children(folder):
        if path.name.startswith(SWEPT):
            shutil.rmtree(path, ignore_errors=True)
