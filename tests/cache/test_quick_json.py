"""Sources' JSON: read as `json.loads` reads it, and no key wins over another in silence."""

import contextlib
import gc
import json
import math
import timeit
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import json_pairs, quick_json
from cache.errors import StoreError
from cache.json_pairs import may_repeat
from cache.quick_json import parse_source
from cache.strict import RefusedError, checked

# Texts in which a quote, a colon or a brace may stand for something else than in JSON.
TRICKY = st.text('":\\{}[], \u00e9\u4e2da\n') | st.sampled_from(
    ["a", "b", '":', '\\":', ' :"', "{"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TRICKY | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TRICKY, inner), max_leaves=20
)
BLANKS = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


@contextlib.contextmanager
def pieces(size):
    """Every text counts as a large one, and is looked at in pieces of so many bytes."""
    before = quick_json.LARGE, json_pairs._CHUNK
    quick_json.LARGE, json_pairs._CHUNK = -1, size
    try:
        yield
    finally:
        quick_json.LARGE, json_pairs._CHUNK = before


def parsed(text, size):
    """By the line's way (size 0), or by that of a large file."""
    if not size:
        return parse_source(text, "f", StoreError)
    with pieces(size):
        return parse_source(text, "f", StoreError, text.encode("utf-8", "surrogatepass"))


SIZES = st.sampled_from([0, 1, 2, 7, 1000])


def spelled(value, pairs, blank):
    """JSON of a value; objects may be lists of pairs, in which a key may come twice."""
    if isinstance(value, list) and value and pairs(value):
        inner = ",".join(
            f"{blank}{json.dumps(key)}{blank * (i % 2)}:{spelled(item, pairs, blank)}"
            for i, (key, item) in enumerate(value)
        )
        return f"{{{inner}{blank}}}"
    if isinstance(value, list):
        return f"[{','.join(spelled(item, pairs, blank) for item in value)}]"
    return json.dumps(value)


PAIRED = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.lists(st.tuples(TRICKY, inner)), max_leaves=15
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), BLANKS, BLANKS, SIZES)
def test_a_value_is_read_as_the_standard_library_reads_it(value, ascii, indent, before, after, n):
    text = before + json.dumps(value, ensure_ascii=ascii, indent=indent) + after
    assert json.dumps(parsed(text, n)) == json.dumps(json.loads(text))  # NaN equals no NaN


@given(PAIRED, BLANKS, SIZES)
def test_whether_a_key_is_repeated_is_known_exactly(value, blank, size):
    text = spelled(value, lambda items: all(isinstance(item, tuple) for item in items), blank)
    try:
        json.loads(text, object_pairs_hook=checked)
        repeated = False
    except RefusedError:
        repeated = True
    with pieces(size or 5):
        assert may_repeat(text.encode(), json.loads(text)) == repeated
    if repeated:
        with pytest.raises(StoreError, match="duplicate key"):
            parsed(text, size)
    else:
        parsed(text, size)


@given(st.text() | st.text('[]{}",:0 .e-\\u\nd8truefalsnNI'), SIZES)
def test_any_text_is_read_or_refused(text, size):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(StoreError, match=r"^f: "):
            parsed(text, size)
        return
    with contextlib.suppress(StoreError):
        assert json.dumps(parsed(text, size)) == json.dumps(expected)


@pytest.mark.parametrize("size", [0, 1000])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1", "not JSON at line 1, column 3"),
        ("", "not JSON at line 1, column 1"),
        ("1 2", "not JSON at line 1, column 3: Extra data"),
        ("9" * 5000, "5000 digits"),
        ("-1e999", "beyond any number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (' {"a": 1, "a": 2}', "'a': first 1, then 2 (entries 1 and 2"),
    ],
)
def test_what_cannot_be_used_is_one_error(text, said, size):
    with pytest.raises(StoreError) as error:
        parsed(text, size)
    assert str(error.value).startswith("f: ")
    assert said in str(error.value)


def test_nan_and_lone_surrogates_are_the_readers_to_judge():
    assert math.isnan(parse_source("NaN", "f", StoreError))
    assert parse_source('{"\\ud800": "\\udc00"}', "f", StoreError) == {"\ud800": "\udc00"}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        assert parsed("[1]", 5) == [1]
        with pytest.raises(StoreError):
            parsed("[1", 5)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_a_large_source_takes_little_longer_than_the_standard_library():
    """1.2 times at most is wanted, and 0.7 to 1.2 measured; the bound is a busy machine's."""
    attr = "Sex: male. Occupation: writer. " * 8
    records = [
        {"id": i, "entity_name": f"Name {i}", "attr": f"{attr}{i}", "image_list": [f"{i}.jpg"]}
        for i in range(20_000)
    ]
    whole, lines = json.dumps(records), list(map(json.dumps, records))
    data, ours = whole.encode(), partial(parse_source, where="f", error=StoreError)

    def ratio(mine, theirs):
        times = [(timeit.timeit(mine, number=1), timeit.timeit(theirs, number=1)) for _ in range(7)]
        return min(t for t, _ in times) / min(t for _, t in times)

    assert ratio(lambda: ours(whole, data=data), lambda: json.loads(whole)) < 1.5
    assert ratio(lambda: list(map(ours, lines)), lambda: list(map(json.loads, lines))) < 1.5
