"""JSON in which nothing wins in silence, and files that nobody waits for.

`json.loads` keeps the last of two alike keys, turns `1e999` into infinity, and ends in a
RecursionError or a ValueError where data is hostile. Here each of these is one error.
"""

import json
import math
import os
import reprlib
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from cache.errors import MelovError, StoreError

MOST_DEPTH = 64
"""Levels of lists and objects. What the project reads has five; `repr` and pydantic recurse."""
MOST_DIGITS = 300
"""Of an integer. No float holds more than 309, and Python itself refuses 4,300."""
SHOWN = 60
"""Characters of a value that a message repeats."""


def parse_json(
    data: str | bytes, where: str, error: Callable[[str], MelovError] = StoreError
) -> Any:
    """JSON, checked; for sources, whose size counts, see `cache/quick_json.py`.

    Args:
        where: opens each message: a file, or file:line.
        error: the kind of error to raise.

    Raises:
        MelovError: it is no UTF-8 or no JSON (with line and column), an object has a key twice
            (with both values), it is nested too deeply, or holds a number or text as above.
    """
    text = data if isinstance(data, str) else _decoded(data, where, error)
    try:
        value = _DECODER.decode(text)
        # Only an escape can spell a lone surrogate, or a caller's text that holds one already.
        if "\\ud" in text or "\\uD" in text or not encodes(text):
            _check_texts(value)
        _check_depth(value)
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{where}: not JSON at {place}: {problem.msg}") from None
    except RefusedError as problem:
        raise error(f"{where}: {problem}") from None
    except RecursionError:
        raise error(f"{where}: not usable JSON: nested too deeply") from None
    return value


class RefusedError(Exception):
    """Valid JSON that could mean something else than it says."""


def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its pairs.

    Raises:
        RefusedError: a key is repeated.
    """
    values = dict(pairs)
    if len(values) != len(pairs):
        raise RefusedError(_repeated(pairs))
    return values


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise RefusedError(f"an integer of {len(digits)} digits, more than {MOST_DIGITS}")
    return int(digits)


def finite(digits: str) -> float:
    """The number; raises RefusedError where it is infinite."""
    value = float(digits)
    if not math.isfinite(value):
        raise RefusedError(f"{short(digits)} is beyond any number")
    return value


def _constant(name: str) -> float:
    raise RefusedError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=checked, parse_int=_integer, parse_float=finite, parse_constant=_constant
)


def read_regular(
    path: Path, error: Callable[[str], MelovError] = StoreError, most: int | None = None
) -> bytes:
    """The bytes of a regular file; raises as `open_regular` does."""
    with open_regular(path, error, most) as file:
        return file.read()


@contextmanager
def open_regular(
    path: Path, error: Callable[[str], MelovError] = StoreError, most: int | None = None
) -> Iterator[BufferedReader]:
    """A regular file, open. A pipe or a device is refused, never waited for.

    Raises:
        MelovError: it is missing, unreadable, no regular file, or has more than `most` bytes; also
            when that shows in the block.
    """
    try:
        check_regular(path.stat().st_mode, str(path), error)  # opening a device can already act
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise error(f"{path}: {getattr(problem, 'strerror', None) or problem}") from None
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        check_regular(state.st_mode, str(path), error)
        if most is not None and state.st_size > most:
            raise error(f"{path}: {state.st_size:,} bytes, more than {most:,}")
        try:
            yield file
        except OSError as problem:
            raise error(f"{path}: {problem.strerror or problem}") from None


def check_regular(mode: int, where: str, error: Callable[[str], MelovError] = StoreError) -> None:
    """Refuse what is no regular file.

    Raises:
        MelovError: it is a folder, a pipe, a socket or a device.
    """
    if not stat.S_ISREG(mode):
        raise error(f"{where}: {special(mode)}, expected a regular file")


def special(mode: int) -> str:
    """What a mode says that is no regular file, in the words of a message."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a special file")


def short(value: Any) -> str:
    """`value` as a message repeats it: at most SHOWN characters, whatever its depth and size."""
    text = _BRIEF.repr(value) if isinstance(value, (list, dict)) else repr(_begin(value))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _begin(value: Any) -> Any:
    return value[: 2 * SHOWN] if isinstance(value, str) else value


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxstring = 3, SHOWN, SHOWN, SHOWN


def plain(key: str) -> str:
    """A key as a message repeats it: as it stands where that is short and printable."""
    return key if key.isprintable() and len(key) <= SHOWN else short(key)


def _decoded(data: bytes, where: str, error: Callable[[str], MelovError]) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        byte = f"byte 0x{data[problem.start]:02x} at offset {problem.start}"
        raise error(f"{where}: not UTF-8: {byte}") from None


def encodes(text: str) -> bool:
    """Whether UTF-8 can hold it: it has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: dict[str, tuple[int, Any]] = {}
    for place, (key, value) in enumerate(pairs, 1):
        if key in seen:
            first, before = seen[key]
            return (
                f"duplicate key {_quoted(key)}: first {short(before)}, then {short(value)} "
                f"(entries {first} and {place} of one object)"
            )
        seen[key] = place, value
    raise AssertionError("no key is repeated")


def _quoted(key: str) -> str:
    shown = plain(key)
    return f"'{shown}'" if shown == key else shown


def _check_depth(value: Any) -> None:
    level, kinds = [value], (dict, list)
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for item in level
            if item.__class__ in kinds
            for inner in (item.values() if item.__class__ is dict else item)
            if inner.__class__ in kinds
        ]
        if not level:
            return
    raise RefusedError(f"nested in more than {MOST_DEPTH} levels")


def _check_texts(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key in item:
                if not encodes(key):
                    raise RefusedError(f"key {short(key)} holds a lone surrogate, no text")
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and not encodes(item):
            raise RefusedError(f"{short(item)} holds a lone surrogate, no text")
