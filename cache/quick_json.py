"""JSON of sources, checked in about the time of `json.loads`: a file may have many megabytes.

As in `cache/strict.py`, nothing wins in silence: a repeated key is an error. What no reader of a
source is harmed by is passed over, since to look for it takes as long as to read: NaN, as pandas
writes it; lone surrogates, which readers replace and count; depth that Python itself can read.
"""

import gc
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cache.errors import MelovError
from cache.json_pairs import may_repeat
from cache.strict import RefusedError, checked, finite

LARGE = 2**16
"""Bytes from which pairs are counted, and the garbage collector is kept still."""
MORE_JSON = "Extra data"
"""How the message ends where a value is followed by another one."""
_BLANKS = " \t\n\r"
_PLAIN = json.JSONDecoder(parse_float=finite, parse_constant=float)
_CHECKED = json.JSONDecoder(object_pairs_hook=checked, parse_float=finite, parse_constant=float)
_Scan = Callable[[str, int], tuple[Any, int]]
_scan: _Scan = vars(_CHECKED)["scan_once"]
_scan_plain: _Scan = vars(_PLAIN)["scan_once"]
"""The decoders' core. What `decode` adds, two searches for blanks, costs a fifth of a line."""


def parse_source(
    text: str, where: str, error: Callable[[str], MelovError], data: bytes | None = None
) -> Any:
    """The one value that `text` spells.

    Args:
        text: of a file that was decoded.
        where: opens each message: a file, or file:line.
        data: the UTF-8 bytes of the text, where they are at hand; worth it for large ones.

    Raises:
        MelovError: it is no JSON (with line and column), an object has a key twice (with both
            values), a number is infinite or has more digits than Python reads, or it is nested so
            deeply that Python cannot read it.
    """
    try:
        if data is not None and len(data) > LARGE:
            value = _large(text, data)
            if value is not _UNSURE:
                return value
        value, end = _scan(text, 0)
        if end == len(text) or not text[end:].strip(_BLANKS):
            return value
        return _CHECKED.decode(text)  # which tells what is too much
    except StopIteration:  # blanks at the start, or no JSON
        return _decoded(text, where, error)
    except (ValueError, RefusedError, RecursionError) as problem:
        raise error(f"{where}: {_told(problem)}") from None


_UNSURE = object()


def _large(text: str, data: bytes) -> Any:
    """The value, where that is certain; what is read has no circle in it, so that the garbage
    collector would search in vain, and often."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with suppress(StopIteration, ValueError):
            value, end = _scan_plain(text, 0)
            if not text[end:].strip(_BLANKS) and not may_repeat(data, value):
                return value
        return _UNSURE
    finally:
        if enabled:
            gc.enable()


def _decoded(text: str, where: str, error: Callable[[str], MelovError]) -> Any:
    try:
        return _CHECKED.decode(text)
    except (ValueError, RefusedError, RecursionError) as problem:
        raise error(f"{where}: {_told(problem)}") from None


def _told(problem: Exception) -> str:
    if isinstance(problem, json.JSONDecodeError):
        return f"not JSON at line {problem.lineno}, column {problem.colno}: {problem.msg}"
    if isinstance(problem, RefusedError):
        return str(problem)
    # Python's limit of an integer's digits, or of its own depth.
    deep = isinstance(problem, RecursionError)
    return f"not usable JSON: {'nested too deeply' if deep else str(problem).partition(';')[0]}"
