"""Whatever two commands run at once, nothing is lost and nothing wrong is left.

    FAULTS_PAIRS=100 FAULTS_OTHERS=10 FAULTS_SETTLING=10 pytest -m faults tests/faults -k at_once

FAULTS_OTHERS are the trials of a pair that does not write the store. With FAULTS_SETTLING=10 a
tenth of a pair's trials ends with running every step once more, by default one of two.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import trees
from tests.faults.children import warm
from tests.faults.pairs import (
    ARGUMENTS,
    Pairs,
    Row,
    Straight,
    Trial,
    called,
    change_source,
    run_early,
    run_straight,
    trials,
)

pytestmark = pytest.mark.faults

PER_PAIR = int(os.environ.get("FAULTS_PAIRS", "2"))
OTHERS = int(os.environ.get("FAULTS_OTHERS", PER_PAIR))
SETTLING = int(os.environ.get("FAULTS_SETTLING", "2"))
SEED = int(os.environ.get("FAULTS_SEED", "0"))
WORKERS = int(os.environ.get("FAULTS_WORKERS", min(10, 3 * (os.cpu_count() or 1))))
"""Trials at once: two commands that wait for each other take seconds, and 0.4 of a processor's."""
TABLE = trees.ROOT / ".faults" / "pairs.csv"

_PAIRS: list[Pairs] = []


def _start(folder: str, built: str) -> None:
    """Of a worker."""
    root = Path(folder) / f"warm-{os.getpid()}"
    shutil.copytree(Path(built) / trees.WHOLE, root)
    quiet = [name for name in ARGUMENTS if name != "load"]  # there is a store already
    warm(root, [called(name) for name in quiet])
    shutil.rmtree(root)


def _straight(folder: str, force: bool) -> Straight:
    """The tree of a changed source, made again one step after the other."""
    root = Path(folder) / ("forced" if force else "updated")
    shutil.copytree(Path(folder) / "changed", root)
    return run_straight(root, force)


def _early(folder: str, built: str) -> dict[str, bytes]:
    root = Path(folder) / "early"
    shutil.copytree(Path(built) / "trained", root)
    return run_early(root)


def _tried(
    folder: str, built: str, changed: list[Straight], early: dict[str, bytes], trial: Trial
) -> list[Row]:
    if not _PAIRS:
        _PAIRS.append(Pairs(Path(folder), Path(built), *changed, early, SETTLING))
    return _PAIRS[0].tried(trial)


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    """Of all trials; written down and counted at the end."""
    rows: list[Row] = []
    yield rows
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "other", "start", "later", "number", "what", "outcome", "said"])
        for row in rows:
            t = row.trial
            writer.writerow(
                [
                    t.one,
                    t.other,
                    t.start,
                    f"{t.later:.3f}",
                    t.number,
                    row.what,
                    row.outcome,
                    row.said,
                ]
            )
    counts = Counter((row.what.split(" ", 1)[0], row.outcome) for row in rows)
    lines = [f"{what:<12}{outcome:<24}{n:>7,}" for (what, outcome), n in counts.items()]
    sys.stdout.write("\n" + "\n".join(sorted(lines)) + "\n")


@pytest.mark.timeout(24 * 3600)
def test_no_two_commands_at_once_lose_or_mix_anything(rows: list[Row]):
    os.environ.update(trees.environment())
    folder, built = str(trees.scratch()), str(trees.built())
    shutil.copytree(Path(built) / trees.WHOLE, Path(folder) / "changed")
    change_source(Path(folder) / "changed")
    with multiprocessing.get_context("spawn").Pool(WORKERS, _start, (folder, built)) as workers:
        made = [workers.apply_async(_straight, (folder, force)) for force in (False, True)]
        early = workers.apply_async(_early, (folder, built)).get()
        changed = [one.get() for one in made]
        tasks = [
            workers.apply_async(_tried, (folder, built, changed, early, trial))
            for trial in trials(PER_PAIR, OTHERS, SEED)
        ]
        for task in tasks:
            rows += task.get()
    bad = [row for row in rows if not row.good]
    assert not bad, f"{len(bad)} of {len(rows)}:\n" + "\n".join(map(str, bad[:20]))
