"""What all trials of kills and full disks share."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import HEADER, Bench, Result
from tests.faults.trees import ROOT, scratch

TABLE = ROOT / ".faults" / "kills.csv"


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    with Bench(scratch()) as bench:
        yield bench


class Table:
    """Results of all trials, for .faults/kills.csv and a summary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        self.results.append(result)

    def write(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(result.row for result in self.results)

    def summary(self) -> str:
        """A line a command: trials, held, and what the disturbed run left."""
        lines = [f"{'':<20}{'trials':>8}{'held':>8}{'older':>8}{'newer':>8}{'completed':>11}"]
        for name in dict.fromkeys(result.case for result in self.results):
            own = [result for result in self.results if result.case == name]
            counts = [len(own), sum(not r.wrong for r in own)]
            counts += [sum(r.left == kind for r in own) for kind in ("older", "newer")]
            completed = sum(r.left.startswith("newer,") for r in own)
            numbers = "".join(f"{count:>8}" for count in counts)
            lines.append(f"{name:<20}{numbers}{completed:>11}")
        held = sum(not result.wrong for result in self.results)
        return "\n".join([*lines, f"{len(self.results)} trials, {held} held: {self.path}"])


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Iterator[Table]:
    table = Table(TABLE)
    yield table
    if table.results:
        table.write()
        reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
        reporter.write(f"\n\n{table.summary()}\n")
