"""A small project in the state after each command, built once a session:

    tree("graph")                      # Path of the project's folder; never write into it
    copied("graph", to / "project")    # a copy to do anything with
    arguments("evaluate")              # what `python -m pipeline.evaluate` is called with there

The data set `tiny` has 14 entities, 32 mentions and 12 pictures, one of which does not decode; its
encoders are random. All commands run in one process with one thread, so that what they wrote has
the bytes that any other single-threaded process on this machine writes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
DATASET = "tiny"
EXPORTED = "tiny.h5"
BUNDLE = "bundle"

STATES = {
    "raw": (),
    "prepared": ("prepare",),
    "extracted": ("extract",),
    "joint": ("joint",),
    "graph": ("graph",),
    "trained": ("train", "train-vilt"),
    "evaluated": ("evaluate", "evaluate-vilt"),
    "ablated": ("ablate",),
    "reported": ("report",),
    "linked": ("link",),
    "exported": ("export",),
    "bundled": ("bundle",),
}
"""What was run since the state before."""
WHOLE = list(STATES)[-1]
"""The state with every output."""

ARGUMENTS = {
    "prepare": (),
    "encoders": (),
    "extract": (),
    "joint": ("--encoder", "vilt"),
    "graph": (),
    "train": ("--variant", "melov"),
    "train-vilt": ("--variant", "vilt"),
    "evaluate": ("--variant", "melov"),
    "evaluate-vilt": ("--variant", "vilt"),
    "ablate": ("--grid", "grid.yaml"),
    "report": (),
    "link": ("--input", "mentions.jsonl", "--output", "linked.jsonl"),
    "export": ("--output", EXPORTED),
    "load": ("--input", EXPORTED),
    "bundle": ("--variant", "melov", "--with-encoder", "--force", "--output", BUNDLE),
    "verify": (),
}

PARAMS = """\
datasets: [tiny]
variants: [melov, vilt]
seeds: [0]
prepare: {source: jsonl}
extract:
  {text_encoder: clip, text_encoders: {again: clip}, max_tokens: 20, dtype: float32, device: cpu,
   batch_texts: 2, batch_images: 1, decode_threads: 1}
graph: {bandwidth_fraction: 0.5, floor: 0.05, max_neighbors: 6}
train:
  {units: [text, vision, cross, lexical, further], d_v: 8, d_h: 8, d_z: 4, epochs: 2, batch_size: 8,
   learning_rate: 0.01, tau_init: 0.2, device: cpu}
evaluate: {mention_rows: 4, entity_rows: 6, device: cpu}
report: {cases: 2}
"""
GRID = """\
runs:
  - {name: melov}
  - {name: mimic}
  - {name: one layer, train: {gcn_layers: 1}, graph: {metric: cosine}}
"""

NAMES = [f"{first} {last}" for first in ("Ada", "Bo", "Cy", "Di") for last in "ABCD"][:14]
PLACES = ("river", "market", "tower", "garden", "station")
PICTURES = 12
BROKEN = "p7.png"
"""A picture that is cut off."""


def call(step: str) -> tuple[str, list[str]]:
    """The module of a step of `ARGUMENTS`, and its arguments: `train-vilt` is one of `train`."""
    return f"pipeline.{step.split('-')[0]}", ["--dataset", DATASET, *ARGUMENTS[step]]


def tree(state: str) -> Path:
    """The project's folder after the commands up to a state; never write into it."""
    if state not in STATES:
        raise KeyError(f"{state}: no such state; there are {', '.join(STATES)}")
    return built() / state


def copied(state: str, to: Path) -> Path:
    """A copy of a state at `to`, which is not there yet; returns `to`."""
    # Times stay: the keys of pictures are remembered with them.
    shutil.copytree(tree(state), to)
    return to


def scratch() -> Path:
    """A folder for many small trees, in memory where the system has such a disk."""
    memory = Path("/dev/shm")
    inside = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="melov-faults-", dir=inside))
    atexit.register(_removed, folder, os.getpid())
    return folder


def environment() -> dict[str, str]:
    """Of a process whose results have the same bits as any other's: one thread, no hub."""
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    return {**os.environ, **one, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def write_raw(root: Path) -> None:
    """The state `raw`: parameters, a grid, mentions to link, encoders, the data set's source."""
    from tests.support.tiny_vilt import build_vilt
    from tests.support.tiny_world import write_clip

    raw = root / "data" / DATASET / "raw"
    (raw / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(raw / "pictures" / f"p{i}.png")
    broken = raw / "pictures" / BROKEN
    broken.write_bytes(broken.read_bytes()[:200])
    entities = list(_entities())
    mentions = list(_mentions(rng))
    _write_lines(raw / "entities.jsonl", entities)
    _write_lines(raw / "mentions.jsonl", mentions)
    new = [{**mentions[j], "image": f"{raw.relative_to(root)}/pictures/p{j}.png"} for j in (1, 2)]
    keys = ("mention", "sentence", "image")
    _write_lines(root / "mentions.jsonl", [{key: line[key] for key in keys} for line in new])
    texts = [e["description"] for e in entities] + [m["sentence"] for m in mentions]
    write_clip(root / "clip", texts)
    build_vilt(root / "vilt", PLACES)
    (root / "params.yaml").write_text(PARAMS)
    (root / "grid.yaml").write_text(GRID)


def _entities() -> Iterator[dict[str, str]]:
    for i, name in enumerate(NAMES):
        picture = {} if i % 5 == 4 else {"image": f"pictures/p{i % PICTURES}.png"}
        text = f"{name} of the {PLACES[i % 5]}"
        yield {"id": f"E{i}", "name": name, "description": text} | picture


def _mentions(rng: np.random.Generator) -> Iterator[dict[str, str]]:
    for j in range(32):
        i = int(rng.integers(len(NAMES)))
        split = "train" if j < 18 else "valid" if j < 24 else "test"
        words = NAMES[i].split()[0]
        sentence = f"{PLACES[j % 5]} of {words} {'again ' * (j % 3)}{PLACES[j % 7 % 5]}"
        picture = {} if j % 4 == 3 else {"image": f"pictures/p{j % PICTURES}.png"}
        said = {"mention": words, "sentence": sentence, "answer": f"E{i}", "split": split}
        yield said | picture


def _write_lines(path: Path, lines: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@functools.cache
def built() -> Path:
    """A folder with every state, made by a process of its own: its threads are counted at start."""
    folder = scratch()
    subprocess.run(
        [sys.executable, "-m", "tests.faults.trees", str(folder)],
        cwd=ROOT, env=environment(), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder


def _removed(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork that ends before its parent
        shutil.rmtree(folder, ignore_errors=True)


def _build(folder: Path) -> None:
    """All states below `folder`, each a copy of the one before with some commands more."""
    import torch

    torch.set_num_threads(1)
    before = None
    for state, steps in STATES.items():
        root = folder / state
        if before is None:
            write_raw(root)
        else:
            shutil.copytree(before, root)
        with contextlib.chdir(root):
            for step in steps:
                module, given = call(step)
                import_module(module).main(given, standalone_mode=False)
        before = root


if __name__ == "__main__":
    _build(Path(sys.argv[1]))
