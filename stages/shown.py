"""Text of the data as a terminal, a spreadsheet, a Markdown table or a plot may be given it."""

import html
import json
import re

# C0 and C1 controls but the newline, marks that reorder a line, and lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also in full width, as spreadsheets of East Asia take them."""
_MARKDOWN = str.maketrans({mark: f"&#{ord(mark)};" for mark in "|[]`"})


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
    """Of a cell of a Markdown table: no column's end, no HTML, no link and no code."""
    return html.escape(one_line(text), quote=False).translate(_MARKDOWN)


def plot(text: str, most: int = 60) -> str:
    """Of matplotlib: a dollar sign is itself, and opens no formula; a name that begins with `_`,
    which legends leave out, begins with a blank; one of more than `most` characters, which would
    leave no room for what is plotted, is cut."""
    shown = one_line(text)
    if len(shown) > most:
        shown = f"{shown[: most - 1]}\u2026"
    return f"{' ' * shown.startswith('_')}{shown}".replace("$", r"\$")


def page(value: object) -> object:
    """Of a web page, whose engine escapes the HTML: texts without control characters.

    What is markup already (has `__html__`) stays as it is.
    """
    return terminal(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def json_line(value: object, ascii: bool = False) -> str:
    """JSON in one line that a terminal can be shown: what would move it is spelled as JSON does.

    Args:
        ascii: spell all that is not ASCII.
    """
    text = json.dumps(value, ensure_ascii=ascii)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
