"""Several processes that build one store at once, on a disk whose locks do nothing."""

import errno
import fcntl
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache import finish, ledger, work
from cache.build import Build, building
from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.metadata import arrays_field
from cache.reader import FeatureStore
from tests.support.forks import server
from tests.support.small_stores import (
    ATTRIBUTES,
    FINGERPRINT,
    build,
    build_without_locks,
    contents,
    opened,
    tree,
    units_of,
)

UNITS = units_of(contents())
NAMES = [name for name, _ in UNITS]
SPECS = [ArraySpec("a", (4,), "int32", 2)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a store that one process wrote without a hitch."""
    folder = tmp_path_factory.mktemp("straight")
    return tree(build(folder / "work", folder / "features.zarr"))


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of work folders and the target."""
    return tmp_path / "partial", tmp_path / "features.zarr"


@contextmanager
def at_rename(
    patch: pytest.MonkeyPatch, number: int, happens: Callable[[], None]
) -> Iterator[list[int]]:
    """Let something happen just before the so manieth renaming; its own ones do not count."""
    real, state = {name: getattr(Path, name) for name in ("rename", "replace")}, [0, 0]

    def hooked(name: str) -> Callable[[Path, Path], Path]:
        def rename(self: Path, to: Path) -> Path:
            if not state[1]:
                state[0] += 1
                if state[0] == number:
                    state[1] = 1
                    happens()
                    state[1] = 0
            return real[name](self, to)

        return rename

    with patch.context() as inner:
        for name in real:
            inner.setattr(Path, name, hooked(name))
        yield state


def make_older(place: tuple[Path, Path]) -> None:
    """A store of something else at the target."""
    with building(place[1], place[0], "older", Fingerprint({"x": 0}), SPECS) as one:
        one.write("all", [("a", 0, np.zeros(4, np.int32))])
        one.finish(["all"], {})


def write_all(one: Build) -> None:
    for unit in UNITS:
        if not one.done(unit[0]):
            one.write(*unit, note={"unit": unit[0]})


# With an older store: attributes, claim, old store away, new store in, folder swept; then no more.
@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("older", [False, True])
def test_of_two_finishers_one_does_it_and_both_are_done(
    place: tuple[Path, Path],
    straight: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    older: bool,
):
    if older:
        make_older(place)
    with opened(*place) as first, opened(*place) as second:
        assert first.work.path == second.work.path
        write_all(first)
        with at_rename(monkeypatch, number, lambda: second.finish(NAMES, ATTRIBUTES)) as count:
            first.finish(NAMES, ATTRIBUTES)
        if number == 6:
            assert count[0] < 6
            second.finish(NAMES, ATTRIBUTES)
    assert tree(place[1]) == straight
    assert list(place[0].iterdir()) == []


@pytest.mark.parametrize("older", [False, True])
def test_who_is_taken_over_sweeps_nothing_of_its_successor(
    place: tuple[Path, Path],
    straight: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    older: bool,
):
    """The successor has claimed the folder and not moved the store yet."""
    if older:
        make_older(place)
    with opened(*place) as one:
        write_all(one)
        arrays = arrays_field(one.specs.values(), one.checksums(NAMES))
        one.work.write_ledger(finished=True, arrays=arrays, attributes=ATTRIBUTES)
        claim, claimed = Path.rename, []

        def claimed_again(self: Path, to: Path) -> Path:
            here = claim(self, to)
            if to.name.startswith(finish.CLOSING) and not claimed:
                claimed.append(claim(here, here.with_name(f"{finish.CLOSING}successor")))
            return here

        with monkeypatch.context() as inner:
            inner.setattr(Path, "rename", claimed_again)
            with pytest.raises(FileNotFoundError):
                finish.move_out(one.work.path, *place)
        (kept,) = claimed
        assert (kept / "features.zarr").exists()
        one.finish(NAMES, ATTRIBUTES)  # the folder is gone: what the successor holds is completed
    assert tree(place[1]) == straight
    assert list(place[0].iterdir()) == []


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("older", [False, True])
def test_what_a_killed_finisher_began_another_one_completes(
    place: tuple[Path, Path],
    straight: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    older: bool,
):
    if older:
        make_older(place)

    def killed() -> None:
        raise KeyboardInterrupt

    def first() -> None:
        with (
            opened(*place) as one,
            at_rename(monkeypatch, number if older else min(number, 4), killed),
        ):
            write_all(one)
            one.finish(NAMES, ATTRIBUTES)

    with opened(*place) as second:
        with pytest.raises(KeyboardInterrupt):
            first()
        second.finish(NAMES, ATTRIBUTES)
    assert tree(place[1]) == straight
    assert list(place[0].iterdir()) == []


@pytest.mark.parametrize("full", [False, True])
def test_of_two_that_lay_out_at_once_the_second_resumes_the_first(
    place: tuple[Path, Path],
    straight: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    full: bool,
):
    """Also where the disk has no room for both."""
    begun: list[Build] = []
    real, other = work.allocate, opened(*place)

    def allocate(path: Path, size: int) -> None:
        if not begun:
            monkeypatch.setattr(work, "allocate", real)
            begun.append(other.__enter__())
            begun[0].write(*UNITS[0])
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")
        real(path, size)

    monkeypatch.setattr(work, "allocate", allocate)
    with opened(*place) as second:
        assert [path.name for path in place[0].iterdir()] == ["work-1"]
        assert second.work.path == begun[0].work.path
        assert second.done(NAMES[0])
        write_all(second)
        begun[0].finish(NAMES, ATTRIBUTES)
    assert tree(place[1]) == straight


@pytest.mark.parametrize("call", ["done", "note", "write", "checksums"])
def test_who_is_overtaken_leaves_the_block_at_the_next_call(
    place: tuple[Path, Path], straight: dict[str, bytes], call: str
):
    went_on = False
    with opened(*place) as slow:
        build(*place)
        arguments: list[Any] = {"write": list(UNITS[3]), "checksums": [NAMES]}.get(call, [NAMES[0]])
        getattr(slow, call)(*arguments)
        went_on = True
    assert not went_on
    assert tree(place[1]) == straight
    assert list(place[0].iterdir()) == []


def test_who_is_overtaken_touches_nothing_of_a_store_that_is_begun_afterwards(
    place: tuple[Path, Path], straight: dict[str, bytes]
):
    with opened(*place) as slow:
        write_all(slow)
        build(*place)
        with opened(*place) as next_one:
            before = tree(place[0])
            assert next_one.work.home == slow.work.home
            slow.finish(NAMES, ATTRIBUTES)
            assert tree(place[0]) == before
            assert not next_one.done(NAMES[0])
    assert tree(place[1]) == straight


def test_work_that_another_command_removed_is_told(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cache.build._PAUSE", 0)
    with opened(*place) as one:
        one.write(*UNITS[0])
        make_older(place)
        for call in (lambda: one.write(*UNITS[1]), lambda: one.finish(NAMES, ATTRIBUTES)):
            with pytest.raises(StoreError, match="work-1: removed while the store was made"):
                call()
    assert FeatureStore.open(place[1]).fingerprint == Fingerprint({"x": 0})


def test_a_chunk_that_is_lost_is_no_sign_of_being_overtaken(place: tuple[Path, Path]):
    with opened(*place) as one:
        shutil.rmtree(one.work.group / "texts" / "local")
        with pytest.raises(FileNotFoundError):
            one.write(*UNITS[0])


def test_a_disk_that_refuses_locks_is_built_on(
    place: tuple[Path, Path], straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert tree(build(*place)) == straight


def disagree(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, writers: str
) -> Iterator[Build]:
    """A build in which two writers, in this order, put other bits into one unit."""
    with building(place[1], place[0], "w", FINGERPRINT, SPECS) as one:
        for value, writer in enumerate(writers):
            monkeypatch.setattr(ledger, "_writer", lambda pid, name=writer: name)
            one.write("unit", [("a", 0, np.full(4, value, np.int32))])
            yield one


@pytest.mark.parametrize("writers", ["ab", "ba", "cab", "bca"])
@pytest.mark.parametrize("live", [False, True])
def test_of_writers_that_disagree_the_one_that_the_disk_has_is_believed(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, writers: str, live: bool
):
    for one in disagree(place, monkeypatch, writers):
        if live:
            assert one.done("unit")
    with building(place[1], place[0], "w", FINGERPRINT, SPECS) as again:
        assert len(list((again.work.path / "ledgers").iterdir())) == len(writers)
        again.finish(["unit"], {})
    store = FeatureStore.open(place[1])
    store.verify()
    assert store["a"].slice(0, 4).tolist() == [len(writers) - 1] * 4


@pytest.mark.parametrize("live", [False, True])
def test_a_unit_of_which_the_disk_has_neither_writers_bits_is_not_done(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, live: bool
):
    for one in disagree(place, monkeypatch, "ab"):
        (one.work.group / "a" / "c.0").write_bytes(bytes(range(8)))
        if live:
            last = one.done("unit")
    if live:
        assert last is False
        one.write("unit", [("a", 0, np.full(4, 7, np.int32))])
        assert one.done("unit")
    else:
        with building(place[1], place[0], "w", FINGERPRINT, SPECS) as again:
            assert not again.done("unit")


def test_a_forked_process_has_a_ledger_of_its_own():
    mine = ledger._writer(os.getpid())
    assert ledger._writer(os.getpid()) == mine
    assert ledger._writer(os.getpid() + 1) != mine


@pytest.mark.slow
def test_two_processes_killed_at_any_moment_and_run_again_give_the_same_bytes(
    place: tuple[Path, Path], straight: dict[str, bytes]
):
    context = server()

    def run(moments: list[float]) -> list[int | None]:
        """Two at once, each killed after so many seconds; their exit codes."""
        ready = context.Semaphore(0)
        processes = [
            context.Process(target=build_without_locks, args=(*place, ready)) for _ in moments
        ]
        for process in processes:
            process.start()
        for _ in processes:
            assert ready.acquire(timeout=60)
        begin = time.perf_counter()
        for moment, process in sorted(zip(moments, processes, strict=True), key=lambda p: p[0]):
            process.join(max(0, begin + moment - time.perf_counter()))
            process.kill()
        for process in processes:
            process.join()
        return [process.exitcode for process in processes]

    assert run([60, 60]) == [0, 0]  # the server's start takes longer than the build
    shutil.rmtree(place[1])
    begin = time.perf_counter()
    assert run([60, 60]) == [0, 0]
    seconds = time.perf_counter() - begin
    assert tree(place[1]) == straight
    chance, kills, halves = random.Random(6), 0, 0
    while kills < 20 or not halves:
        codes = run([chance.uniform(0, seconds), chance.uniform(0, seconds)])
        assert set(codes) <= {0, -9}
        kills += codes.count(-9)
        if 0 in codes:
            assert tree(place[1]) == straight
            shutil.rmtree(place[1])
        elif place[1].exists():
            assert tree(place[1]) == straight
        else:
            halves += any(place[0].glob("work-1/*/ledgers/*"))
    assert run([60, 60]) == [0, 0]
    assert tree(place[1]) == straight
    assert list(place[0].iterdir()) == []
    assert finish.CLOSING not in str(list(place[0].parent.rglob("*")))
