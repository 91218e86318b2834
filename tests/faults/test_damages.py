"""No damage of any file of any output leads to another result, or to anything but a message."""

from __future__ import annotations

import csv
import functools
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
from tests.faults.children import command, killed_at, warm
from tests.faults.damages import Damage, Row, damages_of, is_raw, resumed, tried
from tests.faults.workspace import Workspace, contents, is_volatile

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("FAULTS_SEED", "0"))
SHARE = float(os.environ.get("FAULTS_SHARE", "0.44"))
"""Of the damages that are tried, spread evenly; other seeds damage other places."""
SHARES = {"bundle": 0.25, "unfinished": 0.25}
"""Of that, where an output has some hundred files of the kinds that others have too."""
TABLE = trees.ROOT / ".faults" / "damages.csv"
LEAST = 1500
"""Damages that are tried in all."""

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
    "bundle": ("bundle", trees.ARGUMENTS["bundle"]),
    "link bundle": (
        "link",
        ("--bundle", "bundle", "--input", "mentions.jsonl", "--output", "b-linked.jsonl"),
    ),
    "repair": ("verify", ("--repair",)),
}
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "records": ("data/tiny/records/", tuple(COMMANDS)),
    "store": (
        "data/tiny/features.zarr/",
        ("evaluate", "link", "repair", "export", "extract", "bundle", "graph", "train", "report"),
    ),
    "joint": (
        "data/tiny/joint.zarr/",
        ("evaluate vilt", "repair", "train vilt", "joint", "report"),
    ),
    "further": (
        "data/tiny/further/",
        ("evaluate", "link", "repair", "extract", "bundle", "train", "report"),
    ),
    "summary": ("data/tiny/extract/", ("report", "extract", "evaluate", "train", "link")),
    "graph": ("data/tiny/graph/", ("evaluate", "train", "link", "report", "ablate", "graph")),
    "run": ("runs/tiny/melov-s0/", ("evaluate", "link", "bundle", "report", "train")),
    "other runs": ("runs/tiny/", ("report",)),
    "overall": ("metrics/tiny/overall.json", ("report",)),
    "figures": ("metrics/tiny/", ("evaluate",)),
    "grid": ("ablations/tiny/", ("ablate", "report")),
    "report": ("reports/tiny/", ("report",)),
    "index": ("indexes/tiny/", ("link",)),
    "export": ("tiny.h5", ("load", "export")),
    "bundle": ("bundle/", ("link bundle", "bundle")),
    "keys": ("data/tiny/.partial/", ("prepare", "extract")),
}
"""Of each output: how its files' paths begin (the first one counts), and who reads them."""
SLOW = ("graph", "train", "train vilt", "ablate", "report")
MANY, EACH = 30, 8
"""Of an output with more files each damage is tried by one of its readers, in turn; by one of the
slow ones besides, every so many turns. What is advised is then done every other time."""


def called(name: str) -> tuple[str, list[str]]:
    """The step of a command, and its arguments."""
    step, given = COMMANDS[name]
    dataset = [] if "--bundle" in given else ["--dataset", "tiny"]
    return step, [*dataset, *given]


def _start(state: str) -> None:
    """Of a worker.

    Args:
        state: folder of a project with every output.
    """
    root = Path(f"{state}-warm-{os.getpid()}")
    shutil.copytree(state, root)
    warm(root, map(called, COMMANDS))
    shutil.rmtree(root)


_PLACES: dict[str, Workspace] = {}


def _place(base: str) -> Workspace:
    """This worker's copy of a tree."""
    if base not in _PLACES:
        root = Path(base).with_name(f"{Path(base).name}-{os.getpid()}")
        shutil.copytree(base, root)
        place = Workspace(root)
        time.sleep(2.1)
        ended = place.run("prepare", ["--dataset", "tiny"])  # the cache has the keys of these files
        assert ended.code == 0, ended.stderr
        assert not place.changed()
        _PLACES[base] = Workspace(root)
    return _PLACES[base]


def _built(base: str) -> dict[str, bytes]:
    return _place(base).built


def _complete(base: str) -> None:
    """Add what the tree of all outputs lacks: a variant, a seed, and larger chunk files."""
    place = Workspace(Path(base))
    params = place.root / "params.yaml"
    text = params.read_text().replace("[melov, vilt]", "[melov, mimic, vilt]")
    params.write_text(text.replace("batch_texts: 2", "batch_texts: 8"))
    steps = [("extract", "--force"), ("joint", *COMMANDS["joint"][1], "--replace"), ("graph",)]
    for run in (("melov", "0"), ("melov", "1"), ("mimic", "0"), ("vilt", "0")):
        given = ("--variant", run[0], "--seed", run[1])
        steps += [("train", *given), ("evaluate", *given)]
    for name in ("ablate", "report", "link", "export"):
        steps.append((COMMANDS[name][0], *COMMANDS[name][1]))
    calls = [(step, ["--dataset", "tiny", *given]) for step, *given in steps]
    for step, given in [*calls, called("bundle"), called("link bundle")]:
        ended = place.run(step, given)
        assert ended.code == 0, (step, ended.stderr)


def _tried(base: str, damage: Damage, names: Sequence[str], mend: bool) -> list[Row]:
    return tried(_place(base), damage, {name: called(name) for name in names}, mend)


def paths_of(part: str, built: Iterable[str]) -> list[str]:
    """The files of an output."""

    def first(path: str) -> str | None:
        return next((name for name, (begin, _) in PARTS.items() if path.startswith(begin)), None)

    return sorted(path for path in built if first(path) == part)


def share_of(part: str) -> float:
    """Of an output's damages, what is tried."""
    return SHARE * SHARES.get(part, 1)


def tried_of(
    built: dict[str, bytes], paths: list[str], share: float = SHARE
) -> list[tuple[int, Damage]]:
    """A share of all damages of these files by number, and of a file that has none of those its
    first."""
    every = list(enumerate(damages_of(built, paths, SEED)))
    chosen = {n for n, _ in every if int((n + 1) * share) > int(n * share)}
    missed = {damage.path for _, damage in every} - {d.path for n, d in every if n in chosen}
    found = []
    for number, damage in every:
        if number in chosen or damage.path in missed:
            missed.discard(damage.path)
            found.append((number, damage))
    return found


def commands_for(part: str, number: int, built: Iterable[str]) -> list[str]:
    """The commands that are tried on the damage of this number."""
    names = PARTS[part][1]
    if len(paths_of(part, built)) <= MANY:
        return list(names)
    slow = [name for name in names if name in SLOW]
    quick = [name for name in names if name not in SLOW] or slow
    turn = number // EACH
    more = [slow[turn % len(slow)]] if slow and number % EACH == 0 else []
    return [quick[number % len(quick)], *more]


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    os.environ.update(trees.environment())
    with multiprocessing.get_context("spawn").Pool(
        2, _start, (str(trees.tree(trees.WHOLE)),)
    ) as pool:
        yield pool


@pytest.fixture(scope="module")
def whole(workers: Pool) -> str:
    """A project with every output: three runs that are reported, one more, and all else."""
    root = trees.scratch() / "whole"
    trees.copied(trees.WHOLE, root)
    workers.apply(_complete, (str(root),))
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


@pytest.mark.timeout(900)
def test_every_file_of_every_output_is_damaged(whole: str, workers: Pool):
    built = workers.apply(_built, (whole,))
    parts = {part: paths_of(part, built) for part in PARTS}
    assert all(parts.values())
    outputs = {path for path in built if not is_raw(path) and "/.locks/" not in path}
    assert outputs == {path for paths in parts.values() for path in paths if "/" in path}
    damages = [damage for paths in parts.values() for damage in damages_of(built, paths, SEED)]
    tried = [
        damage.path
        for part, paths in parts.items()
        for _, damage in tried_of(built, paths, share_of(part))
    ]
    assert len(tried) >= LEAST
    assert set(tried) == {path for paths in parts.values() for path in paths}
    words = [damage.name.split() for damage in damages]
    kinds = Counter(name[-1] if name[-1] == "appended" else name[0] for name in words)
    runs = {path for path in built if path.startswith("runs/") and path.endswith("/config.json")}
    assert kinds.pop("exchanged") == len(runs)
    assert set(kinds) == {"bit", "cut", "zeros", "removed", "appended", "swapped"}
    assert min(kinds.values()) > 200, kinds


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", PARTS)
def test_damage_is_refused_mended_and_reported(
    part: str, whole: str, workers: Pool, table: list[Row]
):
    built = workers.apply(_built, (whole,))
    tasks = []
    for number, damage in tried_of(built, paths_of(part, built), share_of(part)):
        names = commands_for(part, number, built)
        mend = len(names) > 1 or number % 2 == 0
        tasks.append(workers.apply_async(_tried, (whole, damage, names, mend)))
    rows = [row for task in tasks for row in task.get()]
    table += rows
    bad = [row for row in rows if not row.good]
    assert not bad, f"{len(bad)} of {len(rows)}:\n" + "\n".join(map(str, bad[:20]))


UNFINISHED = {
    "extract": ("prepared", ("extract",), ("cache.build", "Build.write", 4)),
    "train": ("graph", ("train", "--variant", "melov"), ("stages.training.train", "save_state", 1)),
}
"""A command that is killed: the tree before it, its call, and in which call of which function."""


def _unfinished(base: str, name: str) -> list[str]:
    """Make the tree `base` one in which the command was killed, and `base`-whole, in which it then
    ended; returns the files of the unfinished work."""
    _, (step, *given), (module, function, calls) = UNFINISHED[name]
    place = Workspace(Path(base))
    before = set(place.built)
    ended = place.run(step, ["--dataset", "tiny", *given], killed_at(module, function, calls))
    assert ended.defect == "SIGKILL", ended.stderr
    shutil.copytree(base, f"{base}-whole", symlinks=True)
    found = sorted(Workspace(Path(base)).built.keys() - before)
    ended = command(Path(f"{base}-whole"), step, ["--dataset", "tiny", *given])
    assert ended.code == 0, ended.stderr
    return [path for path in found if not is_volatile(path)]


def _resumed(base: str, name: str, damage: Damage) -> list[Row]:
    step, *given = UNFINISHED[name][1]
    return resumed(_place(base), damage, step, ["--dataset", "tiny", *given], _ended(base))


@functools.cache
def _ended(base: str) -> dict[str, bytes]:
    """The files of `base`-whole."""
    return contents(Path(f"{base}-whole"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", UNFINISHED)
def test_damaged_unfinished_work_is_done_again(name: str, workers: Pool, table: list[Row]):
    base = trees.copied(UNFINISHED[name][0], trees.scratch() / name)
    paths = workers.apply(_unfinished, (str(base), name))
    assert paths
    built = workers.apply(_built, (str(base),))
    tasks = [
        workers.apply_async(_resumed, (str(base), name, damage))
        for _, damage in tried_of(built, paths, share_of("unfinished"))
    ]
    rows = [row for task in tasks for row in task.get()]
    table += rows
    bad = [row for row in rows if not row.good]
    assert not bad, f"{len(bad)} of {len(rows)}:\n" + "\n".join(map(str, bad[:20]))
