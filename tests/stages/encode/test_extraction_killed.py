"""`python -m pipeline.extract`, killed.

One server process imports torch and transformers once; each run is a fork of it, so that ten kills
cost seconds.
"""

import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from stages.paths import DatasetPaths
from tests.support import slow_work
from tests.support.forks import server
from tests.support.small_project import add_entities, run_extract, tree, write_project

KILLS = 6
SLOWER = 0.04  # seconds before and after each unit, of eight rows
SMALL_UNITS = ("--set", "extract.batch_texts=1")
FINISHED = "finished already, nothing to do"


class Runner:
    """Runs the command on one data set; `output` holds all that it said in the last run."""

    def __init__(
        self, context: ForkServerContext, paths: DatasetPaths, slower: float = SLOWER,
        locks: bool = True,
    ) -> None:  # fmt: skip
        self.context, self.root, self.slower, self.locks = context, paths.root, slower, locks
        self.output = ""

    def start(self, *arguments: str) -> float:
        """Returns when it has begun, with the time."""
        self.file = self.root / f"output-{id(self)}.txt"
        self.file.unlink(missing_ok=True)
        arguments = (*SMALL_UNITS, *arguments)
        self.process = self.context.Process(
            target=run_extract,
            args=(self.root, list(arguments), self.slower, self.file, self.locks),
        )
        self.process.start()
        while not self.file.exists():
            time.sleep(0.002)
        return time.perf_counter()

    def end(self, seconds: float | None = None) -> int:
        """Exit code, -9 if it had to be killed after so many seconds more."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        self.output = self.file.read_text()
        assert self.process.exitcode is not None
        return self.process.exitcode

    def __call__(self, seconds: float | None, *arguments: str) -> tuple[int, float]:
        """Exit code (-9 if killed after so many seconds) and how long it ran."""
        begun = self.start(*arguments)
        return self.end(seconds), time.perf_counter() - begun


@pytest.fixture(scope="module", name="server")
def one_server() -> ForkServerContext:
    return server()


@pytest.fixture(scope="module")
def straight(
    tmp_path_factory: pytest.TempPathFactory, clip: Path, server: ForkServerContext
) -> tuple[dict[str, str], float]:
    """Files of a store that was made without a hitch, and the seconds that it took."""
    paths = write_project(tmp_path_factory.mktemp("straight"), clip)
    run = Runner(server, paths)
    code, seconds = run(None)
    assert code == 0, run.output
    return tree(paths.store), seconds


def test_killed_at_any_moment_and_run_again_the_store_is_byte_identical(
    project: DatasetPaths, server: ForkServerContext, straight: tuple[dict[str, str], float]
):
    whole, seconds = straight
    run, chance = Runner(server, project), random.Random(3)
    kills, resumed = 0, 0
    while kills < KILLS:
        code, _ = run(chance.uniform(0, seconds))
        resumed += "resuming:" in run.output
        assert code in (0, -9), run.output
        kills += code == -9
        if project.store.exists():  # whole, whenever it is there
            assert tree(project.store) == whole
            if code == 0:
                assert not list(project.partial.glob("*"))
                shutil.rmtree(project.store)
    assert resumed
    code, _ = run(None)
    assert code == 0, run.output
    assert tree(project.store) == whole
    assert (project.extract / "summary.json").exists()
    code, _ = run(None)
    assert code == 0
    assert FINISHED in run.output


def test_a_forced_replacement_that_is_killed_loses_neither_store(
    project: DatasetPaths, server: ForkServerContext, straight: tuple[dict[str, str], float]
):
    whole, seconds = straight
    run, chance = Runner(server, project), random.Random(4)
    code, _ = run(None, "--set", "extract.image_encoder=none")
    assert code == 0, run.output
    old = tree(project.store)
    for _ in range(2):
        code, _ = run(chance.uniform(0.4 * seconds, 0.9 * seconds), "--force")
        assert code in (0, -9)
        assert tree(project.store) in (old, whole)
    code, _ = run(None, "--force")
    assert code == 0, run.output
    assert tree(project.store) == whole


def test_an_update_killed_at_any_moment_and_run_again_is_byte_identical(
    project: DatasetPaths, server: ForkServerContext
):
    run, chance = Runner(server, project), random.Random(5)
    assert run(None)[0] == 0, run.output
    add_entities(project)
    old, backup = tree(project.store), project.root / "old.zarr"
    shutil.copytree(project.store, backup)
    code, seconds = run(None)
    assert code == 0, run.output
    assert "updated; reused 46 of 48 texts" in run.output
    whole = tree(project.store)
    kills, resumed, done = 0, 0, True
    while kills < KILLS or not resumed:
        assert kills < 4 * KILLS
        if done:  # from the start again
            shutil.rmtree(project.store)
            shutil.copytree(backup, project.store)
        code, _ = run(chance.uniform(0.3 * seconds, seconds))
        assert code in (0, -9), run.output
        resumed += "resuming:" in run.output
        kills += code == -9
        assert tree(project.store) in (old, whole)
        done = tree(project.store) == whole
    assert run(None)[0] == 0, run.output
    assert tree(project.store) == whole
    assert not list(project.partial.glob("*"))


def written(project: DatasetPaths) -> list[int]:
    """Units in the ledger of each writer that has some, fewest first."""
    ledgers = project.partial.glob("*/*/ledgers/*.jsonl")
    with suppress(FileNotFoundError):  # finished meanwhile
        return sorted(ledger.read_bytes().count(b"\n\n") + 1 for ledger in ledgers)
    return []


def test_two_at_once_without_locks_both_killed_and_run_again_are_byte_identical(
    project: DatasetPaths, server: ForkServerContext, straight: tuple[dict[str, str], float]
):
    whole, _ = straight
    pair = [Runner(server, project, 5 * SLOWER, locks=False) for _ in range(2)]

    def wait(reached: Callable[[], bool]) -> bool:
        while not reached() and any(run.process.is_alive() for run in pair):
            time.sleep(0.005)
        return reached()

    for run in pair:
        run.start()
    assert wait(lambda: len(written(project)) == 2 and written(project)[0] >= 2)
    assert [run.end(0) for run in pair] == [-9, -9]
    assert not project.store.exists()

    before = sum(written(project))
    for run in pair:
        run.start()
    assert wait(lambda: sum(written(project)) >= before + 1)
    assert pair[0].end(0) == -9
    assert not project.store.exists()
    pair[0].start()
    assert [run.end() for run in pair] == [0, 0], [run.output for run in pair]
    assert "resuming:" in pair[1].output
    assert tree(project.store) == whole
    assert not list(project.partial.glob("*"))
    assert (project.extract / "summary.json").exists()


def test_of_parts_that_run_at_once_a_killed_one_is_run_again_and_finishes(
    project: DatasetPaths, server: ForkServerContext, straight: tuple[dict[str, str], float]
):
    whole, _ = straight
    parts = [Runner(server, project, 5 * SLOWER) for _ in range(3)]
    for number, run in enumerate(parts, 1):
        run.start("--part", f"{number}/3")
    while parts[0].process.pid not in slow_work.ledgers(project):
        assert parts[0].process.is_alive()
        time.sleep(0.005)
    assert parts[0].end(0) == -9
    assert [run.end() for run in parts[1:]] == [0, 0], [run.output for run in parts]
    assert not project.store.exists()
    assert all("are left to other parts" in run.output for run in parts[1:])
    assert not any("waiting until it ends" in run.output for run in parts)
    assert parts[0](None, "--part", "1/3")[0] == 0, parts[0].output
    assert tree(project.store) == whole
    assert not list(project.partial.glob("*"))
