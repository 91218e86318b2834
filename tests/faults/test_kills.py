"""Every command is killed at many of its writes, and meets a full disk at many others.

    FAULTS_KILLS=100 FAULTS_FULL=50 FAULTS_SEED=7 python -m pytest -m faults tests/faults -k kills

After each trial the older output is there or the newer one, and the same command run again leaves
the bytes of a run that nothing disturbed, and nothing besides. The table is .faults/kills.csv.
"""

import os
import random

import pytest

from tests.faults.bench import Bench, full_at, killed_at, shared_out
from tests.faults.cases import CASES
from tests.faults.conftest import Table

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("FAULTS_KILLS", "702"))
FULL = int(os.environ.get("FAULTS_FULL", "189"))
SEED = int(os.environ.get("FAULTS_SEED", "0"))


@pytest.mark.parametrize("kind", ["killed", "full"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_and_the_command_run_again_is_right(
    bench: Bench, table: Table, name: str, kind: str
):
    choose, total = (killed_at, KILLS) if kind == "killed" else (full_at, FULL)
    straights = dict(zip(CASES, bench.straights(list(CASES.values())), strict=True))
    every = {c: len(choose(s, 10**6, random.Random(0))) for c, s in straights.items()}
    most = shared_out(total, every)[name]
    faults = choose(straights[name], most, random.Random(f"{SEED} {name} {kind}"))
    wrong = []
    for result in bench.trials(CASES[name], faults):
        table.results.append(result)
        if result.wrong:
            wrong.append(" | ".join(result.row))
    assert not wrong, f"{len(wrong)} of {len(faults)}:\n" + "\n".join(wrong[:10])
