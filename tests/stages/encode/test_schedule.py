import threading
from collections.abc import Sequence
from typing import Any

import pytest

from stages.encode.schedule import Work, run_units
from stages.encode.units import Encoded, Unit, units_of
from stages.progress import progress

UNITS = units_of("images", 50, 1)


def run(work: Work[Any], units: list[Unit] = UNITS) -> tuple[Any, Any]:
    with progress(None, "rows", "test") as bar:
        return run_units(work, units, 3, bar), bar


@pytest.mark.parametrize("beside", [True, False])
def test_each_unit_gets_its_own_rows_and_is_written_in_order(beside: bool):
    written: list[tuple[Unit, list[int]]] = []

    def compute(unit: Unit, items: Sequence[int]) -> Encoded:
        assert items[len(items) - 1] == items[-1]
        return Encoded([], [*items[:3], *items[3:]])

    work: Work[int] = Work(
        read=lambda row: str(row),
        decode=lambda text: 10 * int(text),
        compute=compute,
        write=lambda unit, encoded: written.append((unit, encoded.note)),
        size=lambda unit: 100,
        beside=beside,
    )
    timing, bar = run(work)
    assert [unit for unit, _ in written] == UNITS
    assert [row for _, items in written for row in items] == [10 * row for row in range(50)]
    assert timing.rows == 50
    assert bar.n == 100 * len(UNITS)


@pytest.mark.parametrize("beside", [True, False])
def test_what_is_decoded_before_it_is_asked_for(beside: bool):
    """Beside a GPU, the next unit; on a CPU nothing, though its files are read."""
    read, decoded, asked = threading.Semaphore(0), threading.Semaphore(0), list[int]()

    def compute(unit: Unit, items: Sequence[int]) -> Encoded:
        if unit == UNITS[0]:
            ahead = decoded if beside else read
            assert all(ahead.acquire(timeout=30) for _ in range(2 * unit.rows))
            asked.append(0 if beside else int(decoded.acquire(blocking=False)))
        return Encoded([], items[:])

    def read_row(row: int) -> int:
        read.release()
        return row

    def decode(row: int) -> int:
        decoded.release()
        return row

    run(Work(read_row, decode, compute, lambda *_: None, lambda unit: 1, beside=beside), UNITS[:2])
    assert asked == [0]


def test_no_units_are_no_work():
    timing, bar = run(Work(None, None, _never, _never, _never), [])
    assert timing.rows == bar.n == 0
    assert timing.rates()["rows_per_second"] == 0.0


def _never(*_: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("step", ["read", "decode", "compute", "write"])
def test_the_first_error_stops_the_work_and_its_threads(step: str, beside: bool):
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

    def compute(unit: Unit, items: Any) -> Encoded:
        failing("compute", unit.lo)
        assert items[:] == list(range(unit.lo, unit.hi))
        return Encoded([], unit.lo)

    def write(unit: Unit, encoded: Encoded) -> None:
        failing("write", unit.lo)
        seen.append(unit.lo)

    with pytest.raises(ValueError, match=step):
        run(Work(read, decode, compute, write, lambda unit: unit.rows, beside=beside))
    assert seen == [0, 8]
    names = {thread.name.split("_")[0] for thread in threading.enumerate()}
    assert not names & {"read", "decode", "write"}
