"""A small project with every output, made once for all trials of outputs, which leave it alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tiny_project import own_world, run

GRID = """\
seeds: [0, 1]
runs:
  - {name: melov}
  - {name: one-layer, variant: melov, train: {gcn_layers: 1}}
"""


def make_world(base: Path) -> Path:
    """The tiny world with runs, metrics, a grid, an index, a report, an HDF5 file and a bundle."""
    root = own_world(base, base / "whole")
    with contextlib.chdir(root):
        (root / "grid.yaml").write_text(GRID)
        run("extract")  # finds the store finished, and writes its summary
        for variant in ("melov", "mimic"):
            run("train", "--variant", variant)
            run("evaluate", "--variant", variant)
        run("ablate", "--grid", "grid.yaml")
        run("link", "--mention", "Ada", "--sentence", "Ada of the river", "--json")
        run("export", "--output", "store.h5")
        run("report")
        run("bundle", "--variant", "melov", "--with-encoder", "--output", "bundle")
    return root


@dataclass(frozen=True)
class World:
    """Made by a child of the zygote, like the subjects' inputs."""

    name: str = "world"
    most_bytes: int = 0

    def make(self, world: Path, folder: Path) -> None:
        make_world(folder)

    def change(self, *_: Any) -> Any:
        raise AssertionError("the world is not changed")

    read = change
