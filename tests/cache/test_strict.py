"""Strict JSON and YAML: what `json.loads` and PyYAML would pass over is one error."""

import contextlib
import json
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import MelovError, StoreError
from cache.strict import MOST_DEPTH, SHOWN, parse_json, read_regular, short
from cache.strict_yaml import parse_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(value, escaped):
    text = json.dumps(value, ensure_ascii=escaped)
    assert parse_json(text, "f") == json.loads(text)
    assert parse_json(text.encode(), "f") == json.loads(text)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_end_in_another_error(data):
    with contextlib.suppress(StoreError):
        parse_json(data, "f")
    with contextlib.suppress(StoreError):
        parse_yaml(data.decode("latin-1"), "f", StoreError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1, "b": 0, "a": 2}]', "'a': first 1, then 2 (entries 1 and 3 of one object)"),
        ("[NaN]", "NaN is no JSON"),
        ("-1e999", "beyond any number"),
        ("9" * 5000, "5000 digits"),
        ("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), f"more than {MOST_DEPTH} levels"),
        ("[" * 100_000, "nested too deeply"),
        ('{"\\ud800": 1}', "lone surrogate"),
        ('["\\uDC00"]', "lone surrogate"),
        (b'"\xff"', "byte 0xff at offset 1"),
        ("[1", "line 1, column 3"),
    ],
)  # fmt: skip
def test_json_that_could_mean_something_else_is_an_error(text, said):
    with pytest.raises(StoreError) as error:
        parse_json(text, "f:1")
    assert str(error.value).startswith("f:1: ")
    assert said in str(error.value)


def test_a_message_is_brief_of_values_of_any_depth_and_size():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, ["x" * 1000] * 10**6, {"k" * 500: [deep]}, "y" * 10**7, 1.5, None):
        assert len(short(value)) <= SHOWN
    assert short(["a", 1]) == "['a', 1]"
    while deep:  # level by level, or Python's own end of it would be as deep
        deep = deep[0]


def test_json_at_the_greatest_depth_is_read():
    text = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert parse_json(text, "f") == json.loads(text)


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join(f'*{old}' for _ in range(9))}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a': in line 1 and line 3"),
        ("x:\n  y: {c: 1,\n    c: 2}\n", "'c': in line 2 and line 3"),
        ("x: {<<: {b: 1}, c: 2}", "merge keys"),
        (BOMB, "aliases counted"),
        ("a: &a [*a]", "an alias of what it stands in"),
        ("[" * 40 + "]" * 40, "levels"),
        ("[" * 50_000, "levels"),
        ("a: 2024-13-01", "not YAML"),
        ("a: " + "9" * 5000, "not YAML"),
        ("? [a]\n: 1", "cannot be a key"),
        ("x: !!python/name:os.system", "not YAML"),
        ("a" * 1_000_001, "characters of YAML"),
    ],
)
def test_yaml_that_could_mean_something_else_is_an_error(text, said):
    with pytest.raises(StoreError) as error:
        parse_yaml(text, "p.yaml", StoreError)
    assert str(error.value).startswith("p.yaml: ")
    assert said in str(error.value)


def test_yaml_with_a_few_aliases_is_read_as_pyyaml_reads_it():
    text = "a: &x {k: [1, 2.5, no]}\nb: [*x, *x]\n"
    assert parse_yaml(text, "f", StoreError) == yaml.safe_load(text)


def test_a_pipe_is_refused_at_once_and_a_device_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match=said):
            read_regular(type(tmp_path)(path))


def test_a_file_beyond_its_limit_is_not_read(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_regular(tmp_path / "f", most=5) == b"12345"
    with pytest.raises(StoreError, match="5 bytes, more than 4"):
        read_regular(tmp_path / "f", most=4)


def test_no_message_has_endless_lines():
    lines = [f"record {i}" for i in range(150)]
    said = MelovError("\n".join(lines)).message.split("\n")
    assert said == [*lines[:99], "... and 51 lines more"]
    assert MelovError("\n".join(lines[:100])).message.split("\n") == lines[:100]


def test_no_line_of_a_message_is_endless_and_its_end_is_kept():
    error = MelovError(f"{'p' * 100}: {'v' * 70_000}, expected 3\nanother line", "the command")
    first, second, hint = str(error).splitlines()
    assert first.startswith("p" * 100)
    assert first.endswith("v, expected 3")
    assert len(first) < 3_100
    assert (second, hint.strip()) == ("another line", "the command")
