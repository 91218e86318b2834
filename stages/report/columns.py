"""A table of text: aligned for a terminal, or as Markdown."""

from dataclasses import dataclass

from stages.report.rate import Rate
from stages.report.sheet import NOTHING
from stages.shown import markdown, one_line


@dataclass(frozen=True)
class Table:
    """Cells as text; the first `left` columns are words, the others numbers."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: int

    def text(self) -> str:
        """Columns aligned by spaces; a first cell equal to the one above it is left blank."""
        rows = [tuple(map(one_line, row)) for row in self.rows]
        for here in range(len(rows) - 1, 0, -1):
            if self.left > 1 and rows[here][0] == self.rows[here - 1][0]:
                rows = [*rows[:here], ("", *rows[here][1:]), *rows[here + 1 :]]
        widths = [max(map(len, column)) for column in zip(self.header, *rows, strict=True)]
        rule = tuple("-" * width for width in widths)
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place < self.left else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.header, rule, *rows)
        )

    def markdown(self) -> str:
        rule = tuple(":--" if place < self.left else "--:" for place in range(len(self.header)))
        rows = [tuple(map(markdown, row)) for row in (self.header, *self.rows)]
        lines = (" | ".join(row) for row in (rows[0], rule, *rows[1:]))
        return "\n".join(f"| {line} |" for line in lines)


def cell(rate: Rate | None) -> str:
    """Two digits, `± std` where there are several seeds."""
    return NOTHING if rate is None else str(rate)
