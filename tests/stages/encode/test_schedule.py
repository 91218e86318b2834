import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cache.errors import MelovError
from stages.encode import schedule
from stages.encode.schedule import Work, run_units
from stages.encode.units import Encoded, Walk, WorkUnit, units_of
from stages.progress import progress

UNITS = units_of("pictures", 50, 1)


def run(
    work: Work[Any],
    write: Callable[[WorkUnit, Encoded], None],
    done: Callable[[str], bool] = lambda name: False,
) -> tuple[Any, Any]:
    with progress(None, "rows", "test") as bar:
        walk = Walk(work.units, done)
        return run_units(work, walk, write, 3, lambda unit: bar.update(work.size(unit))), bar


@pytest.mark.parametrize("ahead", [True, False])
def test_each_unit_gets_its_own_rows_and_is_written_in_order(ahead: bool):
    written: list[tuple[WorkUnit, list[int]]] = []

    def encode(unit: WorkUnit, items: Sequence[int]) -> Encoded:
        return Encoded([], [items[0], *items[1:3], *items[3:]])

    work: Work[int] = Work(
        UNITS,
        encode,
        "rows",
        size=lambda unit: 100,
        read=lambda row: str(row),
        decode=lambda text: 10 * int(text),
        ahead=ahead,
    )
    timing, bar = run(work, lambda unit, encoded: written.append((unit, encoded.note)))
    assert [unit for unit, _ in written] == UNITS
    assert [row for _, items in written for row in items] == [10 * row for row in range(50)]
    assert timing.rows == 50
    assert bar.n == 100 * len(UNITS)


@pytest.mark.parametrize("ahead", [True, False])
def test_what_is_decoded_before_it_is_asked_for(ahead: bool):
    """With a GPU, the next unit; on a CPU nothing, though its files are read."""
    read, decoded, asked = threading.Semaphore(0), threading.Semaphore(0), list[int]()

    def encode(unit: WorkUnit, items: Sequence[int]) -> Encoded:
        if unit == UNITS[0]:
            begun = decoded if ahead else read
            assert all(begun.acquire(timeout=30) for _ in range(2 * unit.rows))
            asked.append(0 if ahead else int(decoded.acquire(blocking=False)))
        return Encoded([], items[:])

    def read_row(row: int) -> int:
        read.release()
        return row

    def decode(row: int) -> int:
        decoded.release()
        return row

    work = Work(UNITS[:2], encode, "rows", read=read_row, decode=decode, ahead=ahead)
    run(work, lambda *_: None)
    assert asked == [0]


@pytest.mark.parametrize("ahead", [True, False])
def test_files_that_are_read_ahead_are_bounded_in_bytes(
    ahead: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schedule, "READ_AHEAD", 30)
    lock, held, most = threading.Lock(), [0], [0]

    def read(row: int) -> int:
        with lock:
            held[0] += 10
            most[0] = max(most[0], held[0])
        return row

    def encode(unit: WorkUnit, items: Sequence[int]) -> Encoded:
        found = []
        for place in range(len(items)):
            found.append(items[place])
            with lock:
                held[0] -= 10
        return Encoded([], found)

    written: list[int] = []
    work = Work(
        UNITS, encode, "rows", read=read, decode=lambda row: row, weight=lambda _: 10, ahead=ahead
    )
    run(work, lambda unit, encoded: written.extend(encoded.note))
    assert written == list(range(50))
    assert most[0] <= 2 * 30 + 2 * 10  # of two units, and of what was just handed out


@pytest.mark.parametrize("ahead", [True, False])
def test_files_of_any_size_are_read_when_they_are_asked_for(
    ahead: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schedule, "READ_AHEAD", 1)
    work = Work(
        UNITS, lambda unit, items: Encoded([], items[:]), "rows", read=lambda row: row,
        decode=lambda row: row, weight=lambda _: 10**9, ahead=ahead,
    )  # fmt: skip
    written: list[int] = []
    run(work, lambda unit, encoded: written.extend(encoded.note))
    assert written == list(range(50))


def test_no_units_are_no_work():
    timing, bar = run(Work([], _never, "rows", size=_never), _never)
    assert timing.rows == bar.n == 0
    assert timing.rates()["rows_per_second"] == 0.0


def _never(*_: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("step", ["read", "decode", "encode", "write"])
def test_the_first_error_stops_the_work_and_its_threads(step: str, ahead: bool):
    seen: list[int] = []

    def failing(name: str, row: int) -> None:
        if name == step and row >= 16:
            raise ValueError(name)

    def read(row: int) -> int:
        failing("read", row)
        return row

    def decode(row: int) -> int:
        failing("decode", row)
        return row

    def encode(unit: WorkUnit, items: Any) -> Encoded:
        failing("encode", unit.lo)
        assert items[:] == list(range(unit.lo, unit.hi))
        return Encoded([], unit.lo)

    def write(unit: WorkUnit, encoded: Encoded) -> None:
        failing("write", unit.lo)
        seen.append(unit.lo)

    with pytest.raises(ValueError, match=step):
        run(Work(UNITS, encode, "rows", read=read, decode=decode, ahead=ahead), write)
    assert seen == [0, 8]
    names = {thread.name.split("_")[0] for thread in threading.enumerate()}
    assert not names & {"read", "decode", "write"}


def test_what_is_wrong_with_a_feature_is_told_with_the_rows_of_its_unit():
    def encode(unit: WorkUnit, items: Any) -> Encoded:
        raise MelovError("features of a picture are not finite", "mend it")

    with pytest.raises(MelovError, match=r"pictures/0-8: features of a picture") as caught:
        run(Work(UNITS, encode, "rows"), lambda unit, encoded: None)
    assert caught.value.hint == "mend it"


def test_a_unit_that_another_process_does_meanwhile_is_passed_over():
    done, written = set[str](), list[int]()

    def encode(unit: WorkUnit, items: Sequence[int]) -> Encoded:
        done.add(UNITS[1].name)  # whose items are being read
        return Encoded([])

    def write(unit: WorkUnit, _: Encoded) -> None:
        written.append(unit.lo)

    work = Work(UNITS[:4], encode, "rows", read=lambda row: row, decode=lambda row: row)
    timing, bar = run(work, write, done.__contains__)
    assert written == [0, 16, 24]
    assert timing.rows == 24
    assert bar.n == 32
