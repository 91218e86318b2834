"""Runs units so that reading, decoding, the forward pass and writing overlap as far as they should.

Files of the next unit are read and the last unit is written in threads while the main thread
encodes. With a GPU, pictures are decoded in those threads, too. On a CPU, decoding has the same
cores as the forward pass, whose threads wait for each other: both at once cost more than taking
turns, so there a batch is decoded when it is asked for, by all threads.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, overload

from cache.errors import MelovError
from stages.encode.units import Encoded, WorkUnit

Item = TypeVar("Item")


@dataclass
class Timing:
    """Seconds that the main thread spent, by what it did."""

    waiting: float = 0.0
    forward: float = 0.0
    writing: float = 0.0
    rows: int = 0

    def copy(self) -> "Timing":
        return replace(self)

    def add(self, other: "Timing") -> None:
        self.waiting += other.waiting
        self.forward += other.forward
        self.writing += other.writing
        self.rows += other.rows

    def rates(self, seconds: float | None = None) -> dict[str, float]:
        """As timings.json has them; `seconds` by the clock, where several worked at once."""
        total = self.waiting + self.forward + self.writing if seconds is None else seconds
        return {
            "rows": self.rows,
            "seconds_waiting_for_input": round(self.waiting, 3),
            "seconds_forward": round(self.forward, 3),
            "seconds_waiting_for_writer": round(self.writing, 3),
            "rows_per_second": round(self.rows / total, 2) if total else 0.0,
        }


READ_AHEAD = 128 * 2**20
"""Bytes of files that are held for a unit before they are asked for; two units are read at once."""


class Ahead(Sequence[Item]):
    """Items that are being read; asking for some waits for them and raises what their load raised.

    Each is handed out once and not kept. No more files are read ahead than READ_AHEAD bytes hold,
    but for those that are asked for.

    Args:
        submit: begins to read item `place`.
        sizes: of the items' files in bytes.
        decode: makes items of some that were read; None if the futures are the items'.
    """

    def __init__(
        self,
        submit: Callable[[int], Future[Any]],
        sizes: Sequence[int],
        decode: Callable[[list[Any]], list[Item]] | None = None,
    ) -> None:
        self._submit, self._sizes, self._decode = submit, sizes, decode
        self._futures: dict[int, Future[Any]] = {}
        self._next, self._held = 0, 0
        self.waited = 0.0
        """Seconds so far, those of decoding in turn included."""
        self._read_on(0)

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        places = range(len(self))[place]
        return self._some(places) if isinstance(places, range) else self._some([places])[0]

    def _some(self, places: Sequence[int]) -> list[Item]:
        begun = time.perf_counter()
        self._read_on(max(places, default=-1) + 1)
        found = [self._futures.pop(place).result() for place in places]
        self._held -= sum(self._sizes[place] for place in places)
        self._read_on(0)
        if self._decode is not None:
            found = self._decode(found)
        self.waited += time.perf_counter() - begun
        return found

    def _read_on(self, wanted: int) -> None:
        """Begin to read what is `wanted`, and further as long as there is room."""
        while self._next < len(self):
            size = self._sizes[self._next]
            if self._next >= wanted and self._held and self._held + size > READ_AHEAD:
                return
            self._futures[self._next] = self._submit(self._next)
            self._held += size
            self._next += 1

    def cancel(self) -> None:
        """Drop what is not read yet."""
        self._next = len(self)
        for future in self._futures.values():
            future.cancel()

    def require_all(self) -> None:
        """Wait for all that is read, so that no failure is passed over."""
        for future in self._futures.values():
            future.result()


def every_row(unit: WorkUnit) -> Sequence[int]:
    return range(unit.lo, unit.hi)


@dataclass(frozen=True)
class Work(Generic[Item]):
    """Units of one kind: how an item is read and decoded, and a unit encoded.

    `encode` asks for each item once, by slices: what it asks for together is decoded together.
    `weight` is the size of a row's file in bytes. `counted` names what the progress bar counts and
    `size` gives it for a unit: of texts, which are sorted by length, their tokens, since the last
    rows take far longer than the first. `rows` are those to load and to count: all of them, unless
    some need no work. `ahead`: decode the next unit's items while this one is encoded.
    """

    units: Sequence[WorkUnit]
    encode: Callable[[WorkUnit, Sequence[Item]], Encoded]
    counted: str
    size: Callable[[WorkUnit], int] = lambda unit: unit.rows
    rows: Callable[[WorkUnit], Sequence[int]] = every_row
    read: Callable[[int], Any] | None = None
    weight: Callable[[int], int] = lambda row: 0
    decode: Callable[[Any], Item] | None = None
    ahead: bool = False


class Way(Protocol):
    """The units that are to be done, one after the other."""

    def __iter__(self) -> Iterator[WorkUnit]: ...
    def is_done(self, unit: WorkUnit) -> bool:
        """Whether another process has done it since it was taken."""


def run_units(
    work: Work[Any],
    walk: Way,
    write: Callable[[WorkUnit, Encoded], None],
    threads: int,
    told: Callable[[WorkUnit], object],
    timing: Timing | None = None,
) -> Timing:
    """Encode and write every unit of the walk; the first error stops all and is raised.

    Args:
        told: called with each unit when it is written, or was passed over since another process
            has done it; by the thread that writes, or by this one.
        timing: what is added to, unit by unit; returned at the end.
    """
    timing = timing or Timing()

    def written(unit: WorkUnit, encoded: Encoded) -> None:
        write(unit, encoded)
        told(unit)

    readers = ThreadPoolExecutor(threads, thread_name_prefix="read")
    decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    writer = ThreadPoolExecutor(1, thread_name_prefix="write")
    try:
        writing: Future[None] | None = None
        way = iter(walk)
        following = next(way, None)
        ahead = _submit(readers, decoders, work, following)
        while (unit := following) is not None:
            begun = time.perf_counter()
            items, following = ahead, next(way, None)
            ahead = _submit(readers, decoders, work, following)
            if walk.is_done(unit):
                items.cancel()
                told(unit)
            else:
                try:
                    encoded = work.encode(unit, items)
                except MelovError as error:
                    error.message = f"{unit.name}: {error.message}"  # which rows of the store
                    raise
                items.require_all()
                computed = time.perf_counter()
                if writing is not None:
                    writing.result()
                timing.waiting += items.waited
                timing.forward += computed - begun - items.waited
                timing.writing += time.perf_counter() - computed
                timing.rows += len(work.rows(unit))
                writing = writer.submit(written, unit, encoded)
        if writing is not None:
            last = time.perf_counter()
            writing.result()
            timing.writing += time.perf_counter() - last
    finally:
        readers.shutdown(cancel_futures=True)
        decoders.shutdown(cancel_futures=True)
        writer.shutdown()
    return timing


def _submit(
    readers: ThreadPoolExecutor,
    decoders: ThreadPoolExecutor,
    work: Work[Any],
    unit: WorkUnit | None,
) -> Ahead[Any]:
    read, decode = work.read, work.decode
    if unit is None or read is None or decode is None:
        return Ahead(lambda _: Future(), [])
    rows = work.rows(unit)
    sizes = [work.weight(row) for row in rows]
    if work.ahead:
        return Ahead(lambda place: readers.submit(_load, read, decode, rows[place]), sizes)
    return Ahead(
        lambda place: readers.submit(read, rows[place]),
        sizes,
        lambda some: list(decoders.map(decode, some)),
    )


def _load(read: Callable[[int], Any], decode: Callable[[Any], Item], row: int) -> Item:
    return decode(read(row))
