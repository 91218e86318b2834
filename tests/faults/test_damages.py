"""No damage of any file of any output leads to another result, or to anything but a message."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

from tests.faults import trees
from tests.faults.children import warm
from tests.faults.damages import Damage, Row, damages_of, repaired, tried
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("FAULTS_SEED", "0"))
SHARE = float(os.environ.get("FAULTS_SHARE", "1"))
TABLE = trees.ROOT / ".faults" / "damages.csv"
LEAST = 1500
"""Damages in all."""

COMMANDS = {
    "evaluate": ("evaluate", ("--variant", "melov")),
    "evaluate vilt": ("evaluate", ("--variant", "vilt")),
    "link": ("link", ("--input", "mentions.jsonl", "--output", "linked.jsonl")),
    "export": ("export", ("--output", "tiny.h5")),
    "load": ("load", ("--input", "tiny.h5", "--force")),
    "graph": ("graph", ()),
    "train": ("train", ("--variant", "melov")),
    "train vilt": ("train", ("--variant", "vilt")),
    "ablate": ("ablate", ("--grid", "grid.yaml")),
    "report": ("report", ()),
    "prepare": ("prepare", ()),
    "extract": ("extract", ()),
    "joint": ("joint", ("--encoder", "vilt")),
}
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "records": ("data/tiny/records/", tuple(COMMANDS)),
    "store": (
        "data/tiny/features.zarr/",
        ("evaluate", "link", "export", "extract", "graph", "train", "report"),
    ),
    "joint": ("data/tiny/joint.zarr/", ("evaluate vilt", "train vilt", "joint", "report")),
    "summary": ("data/tiny/extract/", ("report", "extract", "evaluate")),
    "graph": ("data/tiny/graph/", ("evaluate", "train", "link", "report", "ablate", "graph")),
    "run": ("runs/tiny/melov-s0/", ("evaluate", "link", "report", "train")),
    "other runs": ("runs/tiny/", ("report",)),
    "figures": ("metrics/tiny/", ("evaluate",)),
    "grid": ("ablations/tiny/", ("ablate", "report")),
    "report": ("reports/tiny/", ("report",)),
    "index": ("indexes/tiny/", ("link",)),
    "export": ("tiny.h5", ("load", "export")),
    "keys": ("data/tiny/.partial/", ("prepare", "extract")),
}
"""Of each output: how its files' paths begin (the first one counts), and who reads them."""
SLOW = ("graph", "train", "train vilt", "ablate", "report")
"""Commands that are tried on every EACH-th damage alone of a part that has many files."""
EACH, MANY = 8, 20


def _start(state: str) -> None:
    """Of a worker.

    Args:
        state: folder of a project with every output.
    """
    root = Path(f"{state}-warm-{os.getpid()}")
    shutil.copytree(state, root)
    warm(root, [(step, ["--dataset", "tiny", *given]) for step, given in COMMANDS.values()])
    shutil.rmtree(root)


_PLACES: dict[str, Workspace] = {}


def _place(base: str) -> Workspace:
    """This worker's copy of a tree."""
    if base not in _PLACES:
        root = Path(base).with_name(f"{Path(base).name}-{os.getpid()}")
        shutil.copytree(base, root)
        place = Workspace(root)
        for step in ("prepare", "prepare"):  # so that the cache has the keys of these pictures
            time.sleep(2.1)
            assert place.run(step, ["--dataset", "tiny"]).code == 0
        assert not place.changed()
        _PLACES[base] = Workspace(root)
    return _PLACES[base]


def _built(base: str) -> dict[str, bytes]:
    return _place(base).built


def _more(base: str, steps: Sequence[Sequence[str]]) -> None:
    """Run more commands in a tree."""
    place = Workspace(Path(base))
    for step, *arguments in steps:
        ended = place.run(step, ["--dataset", "tiny", *arguments])
        assert ended.code == 0, (step, ended.stderr)


def _tried(base: str, damage: Damage, names: Sequence[str], repair: bool) -> list[Row]:
    commands = {n: (COMMANDS[n][0], ["--dataset", "tiny", *COMMANDS[n][1]]) for n in names}
    place = _place(base)
    rows = tried(place, damage, commands)
    return rows + (repaired(place, damage) if repair else [])


def paths_of(part: str, built: Iterable[str]) -> list[str]:
    """The files of an output."""

    def first(path: str) -> str | None:
        return next((name for name, (begin, _) in PARTS.items() if path.startswith(begin)), None)

    return sorted(path for path in built if first(path) == part)


def commands_for(part: str, number: int, built: Iterable[str]) -> list[str]:
    """The commands that are tried on the damage of this number."""
    many = len(paths_of(part, built)) > MANY and number % EACH
    return [name for name in PARTS[part][1] if not (many and name in SLOW)]


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    os.environ.update(trees.environment())
    with multiprocessing.get_context("spawn").Pool(
        2, _start, (str(trees.tree("exported")),)
    ) as pool:
        yield pool


@pytest.fixture(scope="module")
def whole(workers: Pool) -> str:
    """A project with every output: three runs that are reported, one more, and all else."""
    root = trees.scratch() / "whole"
    trees.copied("exported", root)
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("[melov, vilt]", "[melov, mimic, vilt]"))
    other = ("--variant", "melov", "--seed", "1")
    steps = [("train", "--variant", "mimic"), ("evaluate", "--variant", "mimic")]
    steps += [("train", *other), ("evaluate", *other), ("report",)]
    workers.apply(_more, (str(root), steps))
    return str(root)


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "damage", "command", "outcome", "seconds", "said"])
        for row in rows:
            writer.writerow(
                [row.path, row.damage, row.command, row.outcome, f"{row.seconds:.3f}", row.said]
            )
    counts = Counter((row.command, row.outcome) for row in rows)
    lines = [f"{command:<28}{outcome:<24}{n:>7,}" for (command, outcome), n in counts.items()]
    sys.stdout.write("\n" + "\n".join(sorted(lines)) + "\n")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", PARTS)
def test_damage_is_refused_mended_and_reported(
    part: str, whole: str, workers: Pool, table: list[Row]
):
    built = workers.apply(_built, (whole,))
    repair = part in ("store", "joint")
    tasks = []
    for number, damage in enumerate(damages_of(built, paths_of(part, built), SEED)):
        if number % max(1, round(1 / SHARE)) == 0:
            names = commands_for(part, number, built)
            tasks.append(workers.apply_async(_tried, (whole, damage, names, repair)))
    rows = [row for task in tasks for row in task.get()]
    table += rows
    bad = [row for row in rows if not row.good]
    assert not bad, f"{len(bad)} of {len(rows)}:\n" + "\n".join(map(str, bad[:20]))
