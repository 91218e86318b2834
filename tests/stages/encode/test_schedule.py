import threading
from typing import Any

import pytest

from stages.encode.schedule import Work, run_units
from stages.encode.units import Encoded, Unit, units_of
from stages.progress import progress

UNITS = units_of("images", 50, 1)


def run(work: Work[Any], units: list[Unit] = UNITS) -> tuple[Any, Any]:
    with progress(None, "rows", "test") as bar:
        return run_units(work, units, 3, bar), bar


def test_each_unit_gets_its_own_rows_and_is_written_in_order():
    written: list[tuple[Unit, list[int]]] = []
    work: Work[int] = Work(
        load=lambda row: 10 * row,
        compute=lambda unit, items: Encoded([], list(items)),
        write=lambda unit, encoded: written.append((unit, encoded.note)),
        size=lambda unit: 100,
    )
    timing, bar = run(work)
    assert [unit for unit, _ in written] == UNITS
    assert [row for _, items in written for row in items] == [10 * row for row in range(50)]
    assert timing.rows == 50
    assert bar.n == 100 * len(UNITS)


def test_no_units_are_no_work():
    timing, bar = run(Work(None, _never, _never, _never), [])
    assert timing.rows == bar.n == 0
    assert timing.rates()["rows_per_second"] == 0.0


def _never(*_: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("step", ["load", "compute", "write"])
def test_the_first_error_stops_the_work_and_its_threads(step: str):
    seen: list[int] = []

    def failing(name: str, row: int) -> None:
        if name == step and row >= 16:
            raise ValueError(name)

    def load(row: int) -> int:
        failing("load", row)
        return row

    def compute(unit: Unit, items: Any) -> Encoded:
        failing("compute", unit.lo)
        return Encoded([], unit.lo)

    def write(unit: Unit, encoded: Encoded) -> None:
        failing("write", unit.lo)
        seen.append(unit.lo)

    with pytest.raises(ValueError, match=step):
        run(Work(load, compute, write, lambda unit: unit.rows))
    assert seen == [0, 8]
    names = {thread.name.split("_")[0] for thread in threading.enumerate()}
    assert not names & {"load", "write"}
