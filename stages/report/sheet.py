"""A table of the page: every column sorts, a row's first cell is its heading."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.ranking.metrics import Metric
from stages.report.rate import Rate

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """What is shown, what it sorts by (empty: its words; `-1`: nothing to show), and whether it is
    marked as the best."""

    text: str
    value: str = ""
    best: bool = False


@dataclass(frozen=True)
class Sheet:
    """Columns of words first, then of numbers.

    Args:
        words: how many columns, from the left, hold words.
        groups: (heading, columns) over the last columns.
    """

    caption: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    words: int = 1
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def plain(self) -> int:
        """Columns that no group spans."""
        return len(self.columns) - sum(span for _, span in self.groups)

    @property
    def firsts(self) -> set[int]:
        """Columns that open a group."""
        found, at = set(), self.plain
        for _, span in self.groups:
            found.add(at)
            at += span
        return found


def word(text: str) -> Cell:
    return Cell(text)


def count(number: int) -> Cell:
    return Cell(f"{number:,}", str(number))


def number(value: float | None, digits: int = 2) -> Cell:
    return Cell(NOTHING, "-1") if value is None else Cell(f"{value:.{digits}f}", f"{value:.6g}")


def rate(value: Rate | None) -> Cell:
    """Two digits, `± std` where there are several seeds."""
    return Cell(NOTHING, "-1") if value is None else Cell(str(value), f"{value.mean:.2f}")


def interval(value: Rate | None) -> Cell:
    """95 % of the mean; sorts by its lower end."""
    between = None if value is None else value.interval
    if between is None:
        return Cell(NOTHING, "-1")
    return Cell(f"{between[0]:.2f} to {between[1]:.2f}", f"{between[0]:.2f}")


def marked(cells: Sequence[Cell], metric: Metric) -> list[Cell]:
    """With the metric's best one marked; several where they are shown equal, none of a single
    cell."""
    values = [float(cell.value) for cell in cells]
    there = [value for value in values if value >= 0]
    if len(values) < 2 or not there:
        return list(cells)
    best = max(there) if metric.higher_is_better else min(there)
    return [replace(cell, best=value == best) for cell, value in zip(cells, values, strict=True)]


def marked_columns(rows: list[list[Cell]], first: int, metrics: list[Metric]) -> list[list[Cell]]:
    """Rows with the best cell of each metric marked, whose columns begin at `first`."""
    found = [list(row) for row in rows]
    for at, metric in enumerate(metrics, first):
        for row, cell in zip(found, marked([row[at] for row in rows], metric), strict=True):
            row[at] = cell
    return found
