import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.encode.units import units_of
from stages.encode.ways import Part, threads_said


@given(st.integers(0, 400), st.integers(1, 60))
def test_all_parts_together_have_each_unit_once(rows: int, of: int):
    """Whether their number divides the units or not, and whether there are fewer units."""
    units = units_of("texts", rows, 1)
    shares = [Part(number, of).share(units) for number in range(1, of + 1)]
    assert sorted((u for share in shares for u in share), key=units.index) == units
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("number", "of"), [(0, 3), (4, 3), (-1, 3), (1, 0)])
def test_a_part_that_there_is_not_is_refused(number: int, of: int):
    with pytest.raises(ValueError, match=f"part {number} of {of}"):
        Part(number, of)


@pytest.mark.parametrize(
    ("said", "threads"), [("3", 3), ("2,1", 2), (" 4 ", 4), ("", None), ("0", None), ("x", None)]
)
def test_the_number_of_threads_is_read_as_openmp_reads_it(
    said: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_said() == threads
