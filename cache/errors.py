"""Errors that users see as one message.

Every error that is the data's, the configuration's or the disk's fault derives from `MelovError`.
Commands print it and exit with code 1; anything else is a defect and keeps its traceback.
"""

from difflib import get_close_matches

LONGEST_NAME = 100
"""Characters of a name that may be a misspelt one: the search takes the square of its length."""


_LONGEST = 200
"""Characters of a library's words in a message: some repeat what they were given, all of it."""
_LINE = 3_000
"""Characters of a line of a message: nearly the longest path. Who repeats a value cuts it
(`cache/strict.py: short`); this is for the one that was forgotten."""


_LINES = 100
"""Lines of a message. Who lists records counts those that it leaves out; this is for the list that
was forgotten."""


class MelovError(Exception):
    """What came, what was expected and the command that mends it.

    Args:
        message: names the file, the record and what is wrong.
        hint: what to run or change; printed on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        lines = message.split("\n")
        if len(lines) > _LINES:
            lines[_LINES - 1 :] = [f"... and {len(lines) - _LINES + 1:,} lines more"]
        message = "\n".join(map(_bounded, lines))
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


def _bounded(line: str) -> str:
    """A line without its middle, where that is endless: it begins with the place, and ends with
    what was expected."""
    return line if len(line) <= _LINE else f"{line[: _LINE - 300]} ... {line[-300:]}"


class DamagedError(MelovError):
    """A file that is not the one that was written."""


class StoreError(MelovError):
    """The feature store is missing, half built, damaged or made from something else."""


class DamagedStoreError(StoreError, DamagedError):
    """A file of a store is not the one that was written."""


def reason(error: BaseException) -> str:
    """What an exception of a library says, as a message repeats it: its first line, cut."""
    first = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 3]}..."


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` for the nearest of `known`, or an empty string."""
    if len(name) > LONGEST_NAME:
        return ""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
