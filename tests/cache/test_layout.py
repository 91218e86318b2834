from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.layout import CHUNK_BYTES, ArraySpec, check_names, spans


@given(st.integers(0, 10**7), st.integers(1, 10**5))
def test_chunks_cover_all_rows_and_stay_below_the_target_size(rows: int, width: int):
    spec = ArraySpec("a", (rows, width), "float16")
    assert spec.n_chunks * spec.chunk_rows >= rows
    assert (spec.n_chunks - 1) * spec.chunk_rows < rows or rows == 0
    assert spec.chunk_bytes <= max(CHUNK_BYTES, spec.row_bytes)
    assert 1 <= spec.chunk_rows <= max(1, rows)


def test_the_last_chunk_is_padded_by_less_than_a_row_for_each_chunk():
    spec = ArraySpec("a", (10_000, 50, 768), "float16")
    padding = spec.n_chunks * spec.chunk_rows - 10_000
    assert spec.n_chunks > 5
    assert padding < spec.n_chunks


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9))
def test_spans_are_the_rows_in_order(start: int, rows: int, chunk_rows: int):
    found = [
        chunk * chunk_rows + inside + i
        for chunk, inside, count in spans(start, rows, chunk_rows)
        for i in range(count)
    ]
    assert found == list(range(start, start + rows))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
def test_rows_that_are_whole_chunks_have_files_of_their_own(start: int, rows: int, chunk: int):
    spec = ArraySpec("a", (41, 3), "int16", chunk)
    whole = start % chunk == 0 and (start + rows == 41 or rows % chunk == 0)
    if rows and (not whole or start + rows > 41):
        if not whole:
            with pytest.raises(ValueError, match="not whole chunks"):
                spec.require_whole_chunks(start, rows)
        return
    spec.require_whole_chunks(start, rows)
    mine = list(spec.files(Path("g"), start, rows))
    stop = start + rows
    after = spec.files(Path("g"), stop, 41 - stop) if stop < 41 else []
    others = [*spec.files(Path("g"), 0, start), *after]
    assert sum(size for _, size in mine) == rows * spec.row_bytes
    assert not {path for path, _ in mine} & {path for path, _ in others}


def test_a_chunk_file_has_a_dotted_key():
    spec = ArraySpec("images/local", (10, 50, 768), "float16", 5)
    assert spec.key(1) == "images/local/c.1.0.0"
    assert [path for path, _ in spec.files(Path("g"), 5, 5)] == [Path("g/images/local/c.1.0.0")]
    assert ArraySpec("ids", (0,), "uint8").n_chunks == 0


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [("", (1,), "int8"), ("a//b", (1,), "int8"), ("../a", (1,), "int8"), ("a", (), "int8"),
     ("a", (-1,), "int8"), ("a", (1,), "object"), ("a", (1,), "<U4")],
)  # fmt: skip
def test_what_a_store_cannot_hold_is_refused(name: str, shape: tuple[int, ...], dtype: str):
    with pytest.raises(ValueError, match=r"name|shape|dtype"):
        ArraySpec(name, shape, dtype)


def test_two_arrays_of_one_name_or_an_array_as_a_group_are_refused():
    one, inside = ArraySpec("a", (1,), "int8"), ArraySpec("a/b", (1,), "int8")
    with pytest.raises(ValueError, match="'a' names two"):
        check_names([one, one])
    with pytest.raises(ValueError, match="'a' names two"):
        check_names([inside, one])


def test_a_dtype_given_as_numpy_type_is_stored_by_name():
    assert ArraySpec("a", (1,), np.dtype("<f2")).dtype == "float16"  # type: ignore[arg-type]
