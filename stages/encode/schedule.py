"""Runs units so that loading, the forward pass and writing overlap.

Loading of the next unit and writing of the last one happen in threads while the main thread
computes: decoding, matrix products and file writes all release the interpreter's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from tqdm import tqdm

from stages.encode.units import Encoded, Unit

Item = TypeVar("Item")


@dataclass
class Timing:
    """Seconds that the main thread spent, by what it did."""

    waiting: float = 0.0
    forward: float = 0.0
    writing: float = 0.0
    rows: int = 0

    def rates(self) -> dict[str, float]:
        total = self.waiting + self.forward + self.writing
        return {
            "rows": self.rows,
            "seconds_waiting_for_input": round(self.waiting, 3),
            "seconds_forward": round(self.forward, 3),
            "seconds_waiting_for_writer": round(self.writing, 3),
            "rows_per_second": round(self.rows / total, 2) if total else 0.0,
        }


class Ahead(Sequence[Item]):
    """Items that are being loaded; asking for one waits for it, and raises what its load raised."""

    def __init__(self, futures: Sequence[Future[Item]]) -> None:
        self._futures = futures
        self.waited = 0.0
        """Seconds so far."""

    def __len__(self) -> int:
        return len(self._futures)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        begun = time.perf_counter()
        wanted = self._futures[place]
        found = wanted.result() if isinstance(wanted, Future) else [f.result() for f in wanted]
        self.waited += time.perf_counter() - begun
        return found

    def require_all(self) -> None:
        """Wait for all, so that no failure is passed over."""
        self[:]


@dataclass(frozen=True)
class Work(Generic[Item]):
    """One kind of unit: how an item is loaded, a unit computed, its result written.

    `size` is what a unit adds to the progress bar: of texts, which are sorted by length, their
    tokens, since the last rows take far longer than the first. `rows` are those to load and to
    count: all of them, unless some need no work.
    """

    load: Callable[[int], Item] | None
    compute: Callable[[Unit, Sequence[Item]], Encoded]
    write: Callable[[Unit, Encoded], None]
    size: Callable[[Unit], int]
    rows: Callable[[Unit], Sequence[int]] = lambda unit: range(unit.lo, unit.hi)


def run_units(work: Work[Any], units: Sequence[Unit], threads: int, bar: tqdm[Any]) -> Timing:
    """Compute and write every unit, in order; the first error stops all and is raised."""
    timing = Timing()
    loaders = ThreadPoolExecutor(threads, thread_name_prefix="load")
    writer = ThreadPoolExecutor(1, thread_name_prefix="write")
    try:
        ahead = _submit(loaders, work, units[0]) if units else Ahead([])
        writing: Future[None] | None = None
        for index, unit in enumerate(units):
            begun = time.perf_counter()
            items = ahead
            if index + 1 < len(units):
                ahead = _submit(loaders, work, units[index + 1])
            encoded = work.compute(unit, items)
            items.require_all()
            computed = time.perf_counter()
            if writing is not None:
                writing.result()
            writing = writer.submit(work.write, unit, encoded)
            timing.waiting += items.waited
            timing.forward += computed - begun - items.waited
            timing.writing += time.perf_counter() - computed
            timing.rows += len(work.rows(unit))
            bar.update(work.size(unit))
        if writing is not None:
            last = time.perf_counter()
            writing.result()
            timing.writing += time.perf_counter() - last
    finally:
        loaders.shutdown(cancel_futures=True)
        writer.shutdown()
    return timing


def _submit(loaders: ThreadPoolExecutor, work: Work[Any], unit: Unit) -> Ahead[Any]:
    if work.load is None:
        return Ahead([])
    return Ahead([loaders.submit(work.load, row) for row in work.rows(unit)])
