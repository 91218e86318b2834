"""Builds a store unit by unit, so that a kill loses the units in flight and nothing else.

recover(partial, target)  # then look whether the store at `target` will do
with building(target, partial, name, fingerprint, specs) as build:
    for unit in units:
        if not build.done(unit):
            build.write(unit, [("texts/global", first_row, features)])
    build.finish(units, attributes={})

Any number of processes, threads and machines may build one store at once: nothing rests on locks,
and units that are written twice are harmless. The first to finish it finishes it for all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from cache.checksum import crcs_of, flat_bytes
from cache.disk import telling_full
from cache.errors import StoreError
from cache.fingerprint import Fingerprint, canonical
from cache.finish import discard, move_out, recover, sweep
from cache.layout import ArraySpec
from cache.ledger import Entry, Part
from cache.metadata import arrays_field
from cache.reader import FeatureStore
from cache.work import WorkFolder

__all__ = ["Build", "Overtaken", "building", "discard", "recover", "sweep"]

_LOOKS, _PAUSE = 20, 0.05
"""How often, and how many seconds apart, to look for a store that another process moves now."""


class Overtaken(Exception):  # noqa: N818 - no error: the store is there
    """Another process has finished the store; `building` leaves its block on it."""


@contextmanager
def building(
    target: Path, partial: Path, name: str, fingerprint: Fingerprint, specs: Sequence[ArraySpec]
) -> Iterator[Build]:
    """Create the store in the work folder `partial / name`, or resume what is there.

    Finished units are read back and checked; one that fails counts as not done. This takes its
    time on each opening, so give other processes the build itself. A work folder with other
    contents than asked is emptied: it is named by what it is for, so it can only be damaged.

    Left with an error, or before `finish`, the work stays, to be resumed. Where another process
    finishes the same store first, the block is left early and without an error.

    Args:
        target: where the finished store goes, on the same disk as `partial`.
        partial: a folder for work folders of this target alone; `finish` sweeps it.
        name: says everything on which the bytes depend: the fingerprint, batch sizes.

    Raises:
        StoreError: the disk has no room for all arrays.
        ValueError: two arrays share a name.
    """
    recover(partial, target)
    build = Build(target, WorkFolder(partial / name, fingerprint, specs))
    with suppress(Overtaken), build.overtakable():  # the block's first call will say it again
        build.work.open()
    with suppress(Overtaken):
        yield build


class Build:
    """A store in the making; get one from `building`.

    It holds no open file and no lock, so threads may share it and processes may get it pickled.
    Every method raises `Overtaken` where another process has finished the store, and StoreError
    where the work folder was removed before that.
    """

    def __init__(self, target: Path, work: WorkFolder) -> None:
        self.target = target
        self.work = work
        self._partial = work.home.parent
        self.specs = work.specs

    def absolute(self) -> Build:
        """The same build by absolute paths, for processes in another working directory."""
        return Build(self.target.absolute(), self.work.absolute())

    def done(self, unit: str) -> bool:
        """Whether the unit is on the disk, written by whichever process."""
        return unit in self._entries()

    def note(self, unit: str) -> Any:
        """What was stored with the unit.

        Raises:
            KeyError: the unit is not done.
        """
        return self._entries()[unit].note

    def write(
        self, unit: str, parts: Sequence[tuple[str, int, np.ndarray]], note: Any = None
    ) -> None:
        """Put rows into place, then the unit into the ledger; both are on the disk on return.

        Args:
            unit: its name, once in a store. Name it by what it covers (`texts:0-1024`): a name that
                means other rows in the next run would be taken for done.
            parts: (array, first row, rows), shape of the rows: (n, *the array's trailing shape). A
                part is a whole number of chunks (the array's last one may be short), so that no two
                units share a file.
            note: any JSON value, kept with the unit (what failed in it, for one).

        Raises:
            StoreError: the disk is full. The same command run again resumes.
            ValueError: an unknown array, another dtype or trailing shape, rows out of range or not
                whole chunks, a note that is no JSON; nothing is written then.
        """
        canonical(note)
        for name, start, rows in parts:
            self._check(unit, name, start, rows)
        flat = [flat_bytes(rows) for _, _, rows in parts]
        with (
            self.overtakable(),
            telling_full(self._partial, f"writing {unit}", self._bytes_left),
            ThreadPoolExecutor(1, thread_name_prefix="checksum") as beside,
        ):
            # While the disk is waited for: the sums take as long as the writing.
            sums = [
                beside.submit(crcs_of, data, self._sizes(name, start, len(rows)))
                for (name, start, rows), data in zip(parts, flat, strict=True)
            ]
            for (name, start, rows), data in zip(parts, flat, strict=True):
                self.work.place(name, start, len(rows), data)
            written = (
                Part(name, int(start), len(rows), crc.result())
                for (name, start, rows), crc in zip(parts, sums, strict=True)
            )
            self.work.ledger.append(Entry(unit, tuple(written), note))

    def checksums(self, units: Sequence[str]) -> dict[str, list[int]]:
        """CRC-32 of the rows of each chunk file, by array, from those of its units.

        Raises:
            StoreError: a unit is not done, or the units leave rows out or cover some twice.
        """
        entries = self._entries()
        missing = [unit for unit in units if unit not in entries]
        if missing:
            raise StoreError(
                f"{self.work.home}: {len(missing)} of {len(units)} units are not written, such as "
                f"{missing[0]}",
                "run the same command again; it resumes",
            )
        parts: dict[str, list[Part]] = {name: [] for name in self.specs}
        for unit in units:
            for part in entries[unit].parts:
                parts[part.array].append(part)
        return {name: self._joined(self.specs[name], parts[name]) for name in self.specs}

    def finish(self, units: Sequence[str], attributes: dict[str, Any]) -> None:
        """Check that the store is whole, mark it finished, move it to the target, sweep.

        An older store at the target is replaced. Of processes that finish at once, one does it and
        all return. Killed at any moment, the same calls again give the same bytes; after a kill
        at the end, `recover` completes it.

        Args:
            units: every unit of the store.
            attributes: JSON, kept in the store; nothing volatile such as time or host.

        Raises:
            StoreError: as `checksums` does.
        """
        with suppress(Overtaken), self.overtakable():
            arrays = arrays_field(self.specs.values(), self.checksums(units))
            with telling_full(self._partial, "finishing", lambda: 2**20):
                self.work.write_ledger(finished=True, arrays=arrays, attributes=attributes)
            move_out(self.work.path, self._partial, self.target)

    @contextmanager
    def overtakable(self) -> Iterator[None]:
        """Tell a work folder that another process has moved out from one that is lost."""
        try:
            yield
        except FileNotFoundError as error:
            if self.work.path.exists():
                raise
            for _ in range(_LOOKS):
                recover(self._partial, self.target)
                with suppress(StoreError):
                    FeatureStore.open(self.target, self.work.fingerprint)
                    raise Overtaken from error
                time.sleep(_PAUSE)
            raise StoreError(
                f"{self.work.home}: removed while the store was made, by another command",
                "run the same command again",
            ) from error

    def _entries(self) -> dict[str, Entry]:
        with self.overtakable():
            return self.work.ledger.entries()

    def _check(self, unit: str, name: str, start: int, rows: np.ndarray) -> None:
        where = f"{self.work.home}: {unit}"
        if name not in self.specs:
            raise ValueError(f"{where}: no array '{name}'; there are {', '.join(self.specs)}")
        spec = self.specs[name]
        wanted = np.dtype(spec.dtype).newbyteorder("<")
        if rows.ndim == 0 or rows.dtype != wanted or rows.shape[1:] != spec.shape[1:]:
            raise ValueError(
                f"{where}: {name} takes {spec.dtype} rows of shape {spec.shape[1:]}, "
                f"came {rows.dtype} of shape {rows.shape}"
            )
        if start < 0 or start + len(rows) > spec.shape[0]:
            raise ValueError(
                f"{where}: rows {start} to {start + len(rows)} are out of the range of {name}, "
                f"{spec.shape[0]} rows"
            )
        spec.require_whole_chunks(start, len(rows))

    def _bytes_left(self) -> int:
        total = sum(spec.shape[0] * spec.row_bytes for spec in self.specs.values())
        parts = [part for entry in self._entries().values() for part in entry.parts]
        done = sum(part.rows * self.specs[part.array].row_bytes for part in parts)
        return max(total - done, 1)

    def _sizes(self, name: str, start: int, rows: int) -> list[int]:
        """Bytes of these rows in each chunk file."""
        return [size for _, size in self.specs[name].files(self.work.group, start, rows)]

    def _joined(self, spec: ArraySpec, parts: list[Part]) -> list[int]:
        """The chunks' CRC-32 of an array whose rows the parts cover exactly once."""
        end = Part(spec.name, spec.shape[0], 0, ())
        crcs: list[int] = []
        row = 0
        for part in [*sorted(part for part in parts if part.rows), end]:
            if part.start != row:
                low, high = sorted((row, part.start))
                what = "written twice" if part.start < row else "not written by any unit"
                raise StoreError(
                    f"{self.work.home}: {spec.name}: rows {low} to {high} are {what}",
                    f"remove {self.work.home} and run the same command again",
                )
            crcs += part.crc32
            row += part.rows
        return crcs
