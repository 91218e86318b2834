"""Where the pieces of an index of entities lie, and where they are made; needs no torch."""

from pathlib import Path

from cache.build import recover
from cache.disk import children

_PARTIAL = ".partial"


def work_of(piece: Path) -> Path:
    """The folder of unfinished work of a piece."""
    return piece.parent / _PARTIAL / piece.stem


def pieces_in(folder: Path) -> list[Path]:
    """The finished pieces of an index, also one that a kill left just before its place."""
    for work in children(folder / _PARTIAL):
        recover(work, folder / f"{work.name}.zarr")
    return sorted(folder.glob("*.zarr"))
