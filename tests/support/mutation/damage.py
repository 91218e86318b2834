"""Seeded damage to bytes, to JSON and to arrays: what a torn disk, another program or a foe leaves.

Each function takes a generator, so that a trial's number is enough to do the same again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

TEXT_TOKENS = (
    b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\r\n", b"\r", b"\x0c", b"\x1b[31m", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xcc\x81", b"../",
    b"/", b"~", b"%", b"%ff", b"%s", b"A" * 70_000, b" " * 4096, b"\xf0\x9f\x98\x80",
)  # fmt: skip
"""For any text: no text, other encodings, what moves a terminal's cursor, paths."""
JSON_TOKENS = (
    b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999",
    b"-0", b"0.5", b"-1", b"9" * 5000, b"9" * 4000, b"2147483648", b"9223372036854775808", b'""',
    b'"x"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\u001b]0;x\\u0007"', b"[]", b"{}",
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 70 + b"]" * 70, b"{", b"}", b"[", b"]", b",", b":",
    b'"', b"\\", b'{"a":1,"a":2}', b'"\\u"', b"'x'", b"//", b"1_0", b"0x10", b"[null]", b'[""]',
    b"[[]]", b'{"":0}', b'"nil"', b'"Q0"', b'"../../etc/passwd"', b'"/etc/passwd"', b'"%E9"',
    b'"' + b"9" * 70_000 + b'"',
)  # fmt: skip
YAML_TOKENS = (
    b"&a", b"*a", b"<<: *a", b"!!python/object/apply:os.system [true]", b"!!binary x", b"!!set",
    b"? ", b"- ", b": ", b"|", b">", b"\t", b"---", b"...", b"%YAML 9.9", b"#", b"{", b"}", b"[",
    b"]", b".inf", b".nan", b"2024-13-01", b"2024-01-01", b"0o17", b"1:30:30", b"yes", b"~", b"''",
    b"\n\n", b"  ", b"9" * 5000, b"1e999", b"[" * 5000, b"- " * 5000, b"{a: " * 5000,
    b"a: 1\na: 2\n",
    b"a: &a [x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n",
)  # fmt: skip
CSV_TOKENS = (
    b",", b'"', b'""', b"\n", b"\r", b"\r\n", b"\n\n", b";", b"\t", b"|", b"id", b"id,id", b"=1+1",
    b"'", b'"' + b"x" * 140_000 + b'"', b",,,,,,,,", b'"\n', b"name", b"image", b"unknown",
)  # fmt: skip
BINARY_TOKENS = (
    b"\x00" * 8, b"\xff" * 8, b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\x7f" + b"\xff" * 7,
    b"\x00" * 7 + b"\x80", b"\x00" * 4096, b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06",
    b"\x93NUMPY", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\x80\x04c", b"PAR1",
    b"\x89HDF\r\n\x1a\n",
)  # fmt: skip

Damaged = tuple[bytes, str]
"""What the bytes became, and in a few words by what."""


def damaged(random: Random, data: bytes, tokens: tuple[bytes, ...] = BINARY_TOKENS) -> Damaged:
    """One to three damages of any kind."""
    said = []
    for _ in range(random.choice((1, 1, 2, 3))):
        how = random.choice(_WAYS)
        data = how(random, data, tokens)
        said.append(how.__name__.strip("_"))
    return data, "+".join(said)


def _flip(random: Random, data: bytes, _: Any) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.choice((1, 1, 1, 4, 16))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _set(random: Random, data: bytes, _: Any) -> bytes:
    changed = bytearray(data or b"\0")
    changed[random.randrange(len(changed))] = random.choice(
        (0, 1, 9, 10, 13, 34, 92, 127, 128, 255)
    )
    return bytes(changed)


def _remove(random: Random, data: bytes, _: Any) -> bytes:
    lo, hi = _span(random, data)
    return data[:lo] + data[hi:]


def _repeat(random: Random, data: bytes, _: Any) -> bytes:
    lo, hi = _span(random, data)
    return data[:hi] + data[lo:hi] * random.choice((1, 1, 2, 30)) + data[hi:]


def _move(random: Random, data: bytes, _: Any) -> bytes:
    lo, hi = _span(random, data)
    rest, at = data[:lo] + data[hi:], random.randint(0, len(data))
    return rest[:at] + data[lo:hi] + rest[at:]


def _zero(random: Random, data: bytes, _: Any) -> bytes:
    lo, hi = _span(random, data)
    return data[:lo] + bytes(hi - lo) + data[hi:]


def _noise(random: Random, data: bytes, _: Any) -> bytes:
    lo, hi = _span(random, data)
    return data[:lo] + random.randbytes(hi - lo) + data[hi:]


def _insert(random: Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(tokens) + data[at:]


def _replace(random: Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    lo, hi = _span(random, data)
    return data[:lo] + random.choice(tokens) + data[hi:]


def _overwrite(random: Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    token, at = random.choice(tokens), random.randint(0, len(data))
    return data[:at] + token + data[at + len(token) :]


def _truncate(random: Random, data: bytes, _: Any) -> bytes:
    return data[: random.choice((0, 1, len(data) // 2, max(len(data) - 1, 0), _at(random, data)))]


def _append(random: Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    return data + random.choice((*tokens, data[: len(data) // 2]))


_WAYS: tuple[Callable[[Random, bytes, Any], bytes], ...] = (
    _flip, _flip, _set, _remove, _repeat, _move, _zero, _noise, _insert, _insert, _replace,
    _replace, _overwrite, _truncate, _append,
)  # fmt: skip


def _at(random: Random, data: bytes) -> int:
    return random.randint(0, len(data))


def _span(random: Random, data: bytes) -> tuple[int, int]:
    """Some bytes, mostly few."""
    lo = random.randint(0, len(data))
    return lo, min(len(data), lo + random.choice((1, 2, 4, 8, 40, 400, len(data))))


# JSON


@dataclass(frozen=True)
class Raw:
    """A token that stands in JSON text as it is, whether JSON or not."""

    token: bytes


class Repeated(dict[str, Any]):
    """An object whose text has one of its keys twice."""

    key = ""
    again: Any = None


def damaged_json(random: Random, data: bytes) -> Damaged:
    """A value of the document replaced, removed, added, wrapped, moved; a key twice or renamed."""
    value, what = changed_value(random, json.loads(data), raw=True)
    return dumped(value), what


def damaged_lines(random: Random, data: bytes) -> Damaged:
    """A line of JSON Lines changed as a document, or lines lost, doubled, joined, left blank."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    way = random.choice(("json", "json", "json", "json", "lose", "double", "join", "blank", "swap"))
    if way == "json" and lines[at].strip():
        lines[at], said = damaged_json(random, lines[at])
        return b"\n".join(lines), f"line: {said}"
    if way == "lose":
        del lines[at]
    elif way == "double":
        lines.insert(at, lines[at])
    elif way == "join":
        lines[at : at + 2] = [b"".join(lines[at : at + 2])]
    elif way == "swap":
        random.shuffle(lines)
    else:
        lines.insert(at, random.choice((b"", b"  ", b"\t", b"\xc2\xa0", b"\r", b"[]", b"0")))
    return b"\n".join(lines), f"lines: {way}"


def changed_value(random: Random, value: Any, raw: bool = False) -> tuple[Any, str]:
    """JSON content with another value somewhere.

    Args:
        raw: also tokens that are no JSON; else the result is content that `json` can write.
    """
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return _hostile(random, raw), "whole"
    inside, key = random.choice(places)
    way = random.choice(
        ("replace", "replace", "replace", "remove", "rename", "twice", "add", "wrap", "other")
    )
    if way == "replace":
        inside[key] = _hostile(random, raw)
    elif way == "remove":
        del inside[key]
    elif way == "rename" and isinstance(inside, dict):
        inside[str(key)[:-1] + random.choice(("", "x", "\0", "é"))] = inside.pop(key)
    elif way == "twice" and isinstance(inside, dict) and raw:
        again = Repeated(inside)
        again.key, again.again = key, random.choice((inside[key], _hostile(random, raw)))
        return _replaced(value, inside, again), "twice"
    elif way == "add" and isinstance(inside, dict):
        inside[random.choice(("unknown", "", "id", "seed", "d_t", "\ue000"))] = _hostile(
            random, raw
        )
    elif way == "wrap":
        inside[key] = random.choice(([inside[key]], {"a": inside[key]}, str(inside[key])))
    elif way == "other":
        other, place = random.choice(places)
        inside[key] = copy.deepcopy(other[place])
    elif isinstance(inside, list):
        inside.extend(copy.deepcopy(inside[:3]))
    return value, way


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) below."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _replaced(value: Any, old: Any, new: Any) -> Any:
    if value is old:
        return new
    for inside, key in _places(value):
        if inside[key] is old:
            inside[key] = new
            break
    return value


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**31), 2**63, 2**64, 10**30, 10**4000, -0.0, 0.5, 1e308,
    -1e308, 5e-324, "", "x", "0", "nan", "inf", "float16", "object", "<U9", "M8[s]", "a/b", "../..",
    "/", "\0", "\x1b[2J", "é" * 300, "A" * 70_000, [], {}, [[]], [0], [-1], [2**40], [2**62, 4],
    [1, 2, 3, 4, 5], ["a"], {"a": {}}, {"": 0}, [None], list(range(300)),
)  # fmt: skip


def _hostile(random: Random, raw: bool) -> Any:
    if raw and random.random() < 0.6:
        return Raw(random.choice(JSON_TOKENS))
    if random.random() < 0.05:
        return _nested(random.choice((40, 64, 65, 200)))
    return copy.deepcopy(random.choice(_VALUES))


def _nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def dumped(value: Any) -> bytes:
    """The text of content with raw tokens and repeated keys."""
    if isinstance(value, Raw):
        return value.token
    if isinstance(value, dict):
        pairs = list(value.items())
        if isinstance(value, Repeated):
            pairs.append((value.key, value.again))
        return b"{" + b", ".join(_text(k) + b": " + dumped(v) for k, v in pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b", ".join(map(dumped, value)) + b"]"
    return _text(value)


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


# Arrays


def changed_array(random: Random, array: np.ndarray, shape: bool = True) -> tuple[np.ndarray, str]:
    """An array with other numbers; with `shape` also of another shape or another type."""
    array = np.array(array)
    if not array.ndim or array.dtype.kind not in "fiub":
        values: tuple[Any, ...] = (b"csc", b"", 0, -1, 1e9, [1, 2], [[1.0]], "csr")
        return np.array(random.choice(values)), "scalar"
    way = random.choice(
        (
            "value",
            "value",
            "value",
            "value",
            "fill",
            "sort",
            *(["cut", "grow", "flat", "deep", "type"] * shape),
        )
    )
    if array.size and way in ("value", "fill"):
        flat, odd = array.reshape(-1), _odd_numbers(array.dtype)
        if way == "fill":
            flat[:] = random.choice(odd)
        for _ in range(random.choice((1, 1, 3, 50))):
            flat[random.randrange(flat.size)] = random.choice(odd)
    elif way == "sort":
        array = np.sort(array, axis=0)[::-1].copy()
    elif way == "cut":
        array = array[: random.randint(0, len(array))] if array.ndim else array
    elif way == "grow":
        array = np.concatenate([array, array]) if array.ndim and len(array) else np.ones((3, 3))
    elif way == "flat":
        array = array.reshape(-1) if random.random() < 0.7 else np.array(0)
    elif way == "deep":
        array = array[..., None] if random.random() < 0.5 else array[None]
    elif way == "type":
        kinds = (
            "float64",
            "float16",
            "int8",
            "uint64",
            "int64",
            "bool",
            "complex64",
            "S3",
            ">f4",
            ">i4",
        )
        with np.errstate(all="ignore"):
            array = array.astype(random.choice(kinds))
    return array, f"array {way}"


def _odd_numbers(dtype: np.dtype[Any]) -> list[Any]:
    if dtype.kind == "f":
        return [np.nan, np.inf, -np.inf, 0, -1, np.finfo(dtype).max, -np.finfo(dtype).max, 5e-324]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return [limits.min, limits.max, limits.max // 2, 0, 1, 2, 7, 100]
    return [dtype.type(0), dtype.type(1)]
