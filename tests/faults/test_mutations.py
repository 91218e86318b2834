"""Mutations of the input of each reader: one clear error, or a result that is whole.

    FAULTS_MUTATIONS=300 FAULTS_SEED=7 python -m pytest -m faults tests/faults/test_mutations.py

What a checksum covers is damaged in two ways: without mending the checksum, which the reader must
tell; and with it, as a buggy or hostile writer would: then there must still be an error that names
the file, or content that nothing later can stumble over. Never a traceback, an end of the
interpreter, ten seconds, or more memory than a reader's own limit. The counts are
.faults/mutations.csv.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.trees import ROOT, scratch
from tests.support.mutation.names import READERS, SHARES
from tests.support.mutation.trials import BATCH, GOOD, Trial, Zygote

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

MUTATIONS = int(os.environ.get("FAULTS_MUTATIONS", "3000"))
SEED = int(os.environ.get("FAULTS_SEED", "0"))
TABLE = ROOT / ".faults" / "mutations.csv"
WORKERS = 2


@pytest.fixture(scope="module")
def zygotes() -> Iterator[list[Zygote]]:
    zygotes = [Zygote("tests.support.mutation.zygote") for _ in range(WORKERS)]
    yield zygotes
    for zygote in zygotes:
        zygote.close()


@pytest.fixture(scope="module")
def world(zygotes: list[Zygote]) -> Path:
    """The small project with every output that the subjects' inputs are copied from."""
    folder = scratch() / "world"
    zygotes[0].make("world", folder, folder)
    return folder / "whole"


@pytest.fixture(scope="module")
def counts(pytestconfig: pytest.Config) -> Iterator[Counter[tuple[str, str, str]]]:
    """Trials by reader, checksum and outcome; written and shown at the end."""
    counts: Counter[tuple[str, str, str]] = Counter()
    yield counts
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["reader", "checksum", "outcome", "trials"])
        writer.writerows([*key, count] for key, count in sorted(counts.items()))
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    reporter.write(f"\n\n{summary(counts)}\n{TABLE}\n")


def summary(counts: Counter[tuple[str, str, str]]) -> str:
    """A line a reader: how many trials ended how, and how many failed."""
    lines = [f"{'':<16}{'trials':>8}{'error':>8}{'same':>8}{'other':>8}{'failed':>8}"]
    for reader in dict.fromkeys(reader for reader, _, _ in counts):
        ended = Counter[str]()
        for (name, _, outcome), count in counts.items():
            if name == reader:
                ended[outcome] += count
        numbers = [ended.total(), *(ended.pop(outcome, 0) for outcome in GOOD), ended.total()]
        # What is left of the counter are failures; the total was taken before.
        lines.append(f"{reader:<16}" + "".join(f"{number:>8}" for number in numbers))
    return "\n".join(lines)


@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_input_is_one_error_or_a_whole_result(
    zygotes: list[Zygote], world: Path, counts: Counter[tuple[str, str, str]], reader: str
):
    folder = world.parent / reader.replace(" ", "-")
    zygotes[0].make(reader, world, folder)
    total = max(1, MUTATIONS // SHARES.get(reader, 1))
    batches = [range(lo, min(lo + BATCH, total)) for lo in range(0, total, BATCH)]

    def run(place: int) -> list[Trial]:
        own = batches[place::WORKERS]
        return [t for batch in own for t in zygotes[place].trials(reader, folder, SEED, batch)]

    with ThreadPoolExecutor(WORKERS) as threads:
        trials = [trial for of_one in threads.map(run, range(WORKERS)) for trial in of_one]
    for trial in trials:
        counts[reader, trial.how.partition(":")[0], trial.outcome] += 1
    failed = [trial for trial in trials if trial.outcome not in GOOD]
    shown = "\n".join(f"{t.number} {t.outcome} ({t.how}): {t.detail}" for t in failed[:5])
    assert len(trials) == total
    assert not failed, f"{len(failed)} of {total}, with FAULTS_SEED={SEED}:\n{shown}"
