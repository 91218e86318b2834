"""What tests of bundles share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

RUNS = {"melov": 0, "mimic": 1, "clip": 0}
"""Seeds by variant of the bundles that tests open; mimic reads texts and names alone."""


@contextlib.contextmanager
def away(*paths: Path) -> Iterator[None]:
    """Nobody finds them meanwhile."""
    for path in paths:
        os.rename(path, path.with_name(f"{path.name}-away"))
    try:
        yield
    finally:
        for path in paths:
            os.rename(path.with_name(f"{path.name}-away"), path)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
