"""What all trials of kills and full disks share."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import HEADER, Bench, Result
from tests.faults.trees import ROOT, scratch

TABLE = ROOT / ".faults" / "kills.csv"


class Table:
    """Results of all trials, for .faults/kills.csv and a summary."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def write(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(result.row for result in self.results)

    def summary(self) -> list[str]:
        """A line a command: trials, how many held, and what the disturbed run left."""
        heads = ("killed", "full", "held", "older", "newer", "completed")
        lines = [f"{'':<20}" + "".join(f"{head:>11}" for head in heads)]
        names = dict.fromkeys(result.case for result in self.results)
        for name in [*names, None]:
            own = [result for result in self.results if name in (None, result.case)]
            full = sum(result.is_full for result in own)
            counts = [len(own) - full, full, sum(not result.wrong for result in own)]
            counts += [sum(r.left == kind for r in own) for kind in ("older", "newer")]
            counts.append(sum(result.left.startswith("newer,") for result in own))
            lines.append(f"{name or 'all':<20}" + "".join(f"{count:>11}" for count in counts))
        return lines


TABLE_KEY = pytest.StashKey[Table]()


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    with Bench(scratch()) as bench:
        yield bench


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    return pytestconfig.stash.setdefault(TABLE_KEY, Table())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure is told at once: the campaign goes on for half an hour."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        reporter = item.config.pluginmanager.get_plugin("terminalreporter")
        said = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        reporter.write("\n".join(["", item.nodeid, *said[:20], ""]))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    table = config.stash.get(TABLE_KEY, None)
    if table is not None and table.results:
        table.write(TABLE)
        terminalreporter.section("kills and full disks: what the disturbed command left, in trials")
        for line in table.summary():
            terminalreporter.line(line)
        terminalreporter.line(f"each trial: {TABLE}")
