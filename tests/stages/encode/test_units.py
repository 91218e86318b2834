import heapq
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.layout import CHUNK_BYTES, ArraySpec
from stages.encode.units import TOKEN_CHUNKS, TokenPlaces, Walk, WorkUnit, chunk_rows, units_of


def test_units_cover_every_row_once():
    covered = [(unit.lo, unit.hi) for unit in units_of("texts", 50, 3)]
    assert covered == [(0, 24), (24, 48), (48, 50)]
    assert units_of("texts", 0, 3) == []


@given(st.integers(1, 300), st.integers(1, 2**22), st.integers(1, 5000))
def test_a_unit_is_whole_chunk_files(batch: int, row_bytes: int, rows: int):
    size = chunk_rows(batch, row_bytes)
    assert size == 1 or size * row_bytes <= CHUNK_BYTES
    spec = ArraySpec("x", (rows,), "uint8", size)
    for unit in units_of("texts", rows, batch):
        spec.require_whole_chunks(unit.lo, unit.rows)


def test_a_chunk_file_has_all_rows_of_a_unit_where_they_fit():
    assert chunk_rows(64, 50 * 768 * 2) == 512  # CLIP's patches, 39 MB
    assert chunk_rows(128, 50 * 768 * 2) == 512
    assert chunk_rows(100, 2**20) == 50  # 800 rows a unit


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), max_size=200).map(sorted),
    st.integers(1, 9),
    st.sampled_from([1, 1024, CHUNK_BYTES // 100]),
)
def test_tokens_of_a_unit_are_whole_chunk_files_with_few_unused_rows(
    lengths: list[int], batch: int, row_bytes: int
):
    units = units_of("texts", len(lengths), batch)
    places = TokenPlaces.of(lengths, units, row_bytes)
    assert (np.diff(places.offsets)[:, 0] == lengths).all() if lengths else len(places) == 0
    flat = places.offsets.reshape(-1)
    assert (np.diff(flat) >= 0).all()
    end = 0
    for unit in units:
        start, stop = places.spans[unit]
        assert start == end == places.offsets[unit.lo, 0]
        assert start % places.chunk_rows == stop % places.chunk_rows == 0
        last = int(places.offsets[unit.hi - 1, 1])
        assert stop - places.chunk_rows < last <= stop  # unused: less than a file
        assert last - start == sum(lengths[unit.lo : unit.hi])  # none between texts
        end = stop
    assert end == len(places)
    assert places.chunk_rows * row_bytes <= CHUNK_BYTES
    if row_bytes == 1:
        assert len(places) <= TOKEN_CHUNKS * len(units) * places.chunk_rows


def test_unused_rows_are_zeros_after_the_tokens():
    units = units_of("texts", 20, 1)
    places = TokenPlaces.of([5] * 20, units, 2)
    tokens = np.ones((40, 3), np.float16)
    assert places.chunk_rows == 5  # ceil(100 tokens / 7 / 3 units)
    start, rows = places.filled(units[1], tokens)
    assert (start, len(rows)) == (40, 40)
    places = TokenPlaces.of([5] * 18, units_of("texts", 18, 1), 2)  # the last unit has two texts
    start, rows = places.filled(WorkUnit("texts", 16, 18), tokens[:10])
    assert start == places.spans[WorkUnit("texts", 0, 8)][1] * 2
    assert rows[:10].all()
    assert not rows[10:].any()
    assert len(rows) % places.chunk_rows == 0


# The walk of several processes

UNITS = units_of("texts", 512, 1)


def walked(begins: list[float], steps: list[float]) -> list[list[str]]:
    """Several walks over the same units, as `run_units` takes them; the units that each encoded.

    Args:
        begins: when each walk begins.
        steps: how long each takes for a unit.
    """
    done: set[str] = set()
    found: list[list[str]] = [[] for _ in steps]

    def process(i: int) -> Iterator[float]:
        """Yields what a unit takes."""
        walk = Walk(UNITS, done.__contains__)
        way = iter(walk)
        following = next(way, None)
        while (unit := following) is not None:
            following = next(way, None)  # one unit ahead
            if walk.is_done(unit):
                continue
            found[i].append(unit.name)
            yield steps[i]
            walk.met |= walk.is_done(unit)
            done.add(unit.name)

    events = [(begin, i, process(i)) for i, begin in enumerate(begins)]
    while events:
        now, i, running = heapq.heappop(events)
        step = next(running, None)
        if step is not None:
            heapq.heappush(events, (now + step, i, running))
    return found


def test_one_walk_takes_the_units_one_after_the_other():
    (found,) = walked([0], [1])
    assert found == [unit.name for unit in UNITS]


@pytest.mark.parametrize("steps", [[1, 1.01], [1, 0.7], [1, 3.1], [1, 1.3, 0.9, 2.2]])
@pytest.mark.parametrize("late", [0, 0.5, 7.5, 40])
def test_walks_share_the_units(steps: list[float], late: float):
    found = walked([0, *(late for _ in steps[1:])], steps)
    assert {name for names in found for name in names} == {unit.name for unit in UNITS}
    # They meet at the start, and where one comes upon what another is doing; they never go on so,
    # in step, which would be 64 units each.
    assert sum(map(len, found)) < 1.7 * len(UNITS)
    assert late > 30 or min(map(len, found)) > 4


def test_a_resumed_walk_does_what_is_left():
    done = {unit.name for unit in UNITS[:40]} | {UNITS[50].name}
    left = [unit.name for unit in Walk(UNITS, done.__contains__)]
    assert sorted(left) == sorted({unit.name for unit in UNITS} - done)
