"""Text of the data as a terminal, a spreadsheet, a Markdown table or a plot may be given it."""

import html
import re

# C0 and C1 controls but the newline, marks that reorder a line, and lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def terminal(text: str) -> str:
    """With control characters spelled out: no name can colour, move or reorder what is shown."""
    return _CONTROL.sub(_spelled, text)


def one_line(text: str) -> str:
    """As `terminal`, and a newline is spelled out too."""
    return terminal(text).replace("\n", "\\n")


def cell(value: object) -> object:
    """Of a CSV file: a text that a spreadsheet would take for a formula gets a leading apostrophe.

    Numbers stay numbers, a text that spells one included.
    """
    if not isinstance(value, str):
        return value
    text = terminal(value)
    return f"'{text}" if value.startswith(_FORMULA) and not _is_number(value) else text


def markdown(text: str) -> str:
    """Of a cell of a Markdown table: no column's end, no HTML."""
    return html.escape(one_line(text), quote=False).replace("|", "\\|")


def plot(text: str) -> str:
    """Of matplotlib: a dollar sign is itself, and opens no formula."""
    return one_line(text).replace("$", r"\$")


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
