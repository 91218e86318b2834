"""Writes a store unit by unit, so that a kill loses the units in flight and nothing else.

writer = StoreWriter.open(work / fingerprint.digest, fingerprint, specs)
for unit in units:
    if not writer.done(unit):
        writer.write(unit, [("texts/global", first_row, features)])
writer.finish(target, units, attributes={})
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cache.checksum import combine, crc32, flat_bytes
from cache.errors import StoreError
from cache.files import sync_folder, telling_full
from cache.fingerprint import Fingerprint, canonical
from cache.layout import GROUP, ArraySpec
from cache.ledger import Entry, Part
from cache.work import WorkFolder

REPLACED = "replaced"
"""Where an older store lies in the work folder until the new one stands in its place."""


def put_back(partial: Path, target: Path) -> None:
    """Undo the first of the two renamings of a `finish` that was killed between them.

    The store that was being replaced comes back to `target`; the same calls as before then finish.

    Parameters
    ----------
    partial: the folder of work folders.
    """
    for work in partial.glob("*"):
        # Where the group is gone from the work folder, it stood at `target` and was removed since.
        if (work / REPLACED).exists() and (work / GROUP).exists() and not target.exists():
            (work / REPLACED).rename(target)


class StoreWriter:
    """A store in the making; get one from `StoreWriter.open`.

    It holds no open file and no lock, so threads may share it and processes may get it pickled.
    Units that are written at the same time must not share rows.
    """

    def __init__(self, folder: WorkFolder) -> None:
        self._folder = folder
        self._ledger = folder.ledger
        self.work = folder.path
        self.fingerprint = folder.fingerprint
        self.specs = folder.specs

    @classmethod
    def open(cls, work: Path, fingerprint: Fingerprint, specs: Sequence[ArraySpec]) -> StoreWriter:
        """Create the store in the folder `work`, or resume what is there.

        Units in the ledger are read back and checked; one that fails is written again. A work
        folder with other contents than asked is emptied: its caller names it by the fingerprint,
        so it can only be damaged. Opening checks all data each time, so give other processes the
        writer itself.

        Raises
        ------
        StoreError: the disk has no room for all arrays.
        ValueError: two arrays share a name.
        """
        folder = WorkFolder(Path(work), fingerprint, specs)
        folder.prepare()
        return cls(folder)

    def done(self, unit: str) -> bool:
        """Whether the unit is on the disk, written by whichever process."""
        return unit in self._ledger.entries()

    def note(self, unit: str) -> Any:
        """What was stored with the unit.

        Raises
        ------
        KeyError: the unit is not done.
        """
        return self._ledger.entries()[unit].note

    def write(
        self, unit: str, parts: Sequence[tuple[str, int, np.ndarray]], note: Any = None
    ) -> None:
        """Put rows into place, then the unit into the ledger; both are on the disk on return.

        Parameters
        ----------
        unit: its name, once in a store. Name it by what it covers (`texts:0-1024`): a name that
            means other rows in the next run would be taken for done.
        parts: (array, first row, rows), shape of the rows: (n, *the array's trailing shape).
        note: any JSON value, kept with the unit (what failed in it, for one).

        Raises
        ------
        StoreError: the disk is full. The same command run again carries on.
        ValueError: an unknown array, another dtype or trailing shape, rows out of range, a note
            that is no JSON; nothing is written then.
        """
        canonical(note)
        for name, start, rows in parts:
            self._check(unit, name, start, rows)
        flat = [flat_bytes(rows) for _, _, rows in parts]
        with (
            telling_full(self.work, f"writing {unit}", self._bytes_left),
            ThreadPoolExecutor(1, thread_name_prefix="checksum") as beside,
        ):
            # While the disk is waited for: the sums take as long as the writing.
            sums = [beside.submit(crc32, data) for data in flat]
            for (name, start, rows), data in zip(parts, flat, strict=True):
                self._folder.place(name, start, len(rows), data)
            written = (
                Part(name, int(start), len(rows), crc.result())
                for (name, start, rows), crc in zip(parts, sums, strict=True)
            )
            self._ledger.append(Entry(unit, tuple(written), note))

    def checksums(self, units: Sequence[str]) -> dict[str, int]:
        """CRC-32 of each whole array, from those of its units.

        Raises
        ------
        StoreError: a unit is not done, or the units leave rows out or cover some twice.
        """
        entries = self._ledger.entries()
        missing = [unit for unit in units if unit not in entries]
        if missing:
            raise StoreError(
                f"{self.work}: {len(missing)} of {len(units)} units are not written, such as "
                f"{missing[0]}",
                "run the same command again; it resumes",
            )
        parts: dict[str, list[Part]] = {name: [] for name in self.specs}
        for unit in units:
            for part in entries[unit].parts:
                parts[part.array].append(part)
        return {name: self._joined(self.specs[name], parts[name]) for name in self.specs}

    def finish(self, target: Path, units: Sequence[str], attributes: dict[str, Any]) -> None:
        """Check that the store is whole, mark it finished and move it to `target`.

        An older store at `target` is replaced. The work folder, which must be on the same disk, is
        removed. Killed at any moment, the same calls again give the same bytes (a caller that
        first looks for a finished store at `target` saves a repetition after a kill at the end).

        Parameters
        ----------
        units: every unit of the store.
        attributes: JSON, kept in the store; nothing volatile such as time or host.

        Raises
        ------
        StoreError: as `checksums` does.
        """
        checksums = {name: f"{crc:08x}" for name, crc in self.checksums(units).items()}
        with telling_full(self.work, "finishing", lambda: 2**20):
            self._folder.write_attributes(finished=True, arrays=checksums, attributes=attributes)
        target = Path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        replaced = self.work / REPLACED
        if replaced.exists():
            shutil.rmtree(replaced)
        if target.exists():
            target.rename(replaced)
        self._folder.group.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(self.work)

    def _check(self, unit: str, name: str, start: int, rows: np.ndarray) -> None:
        where = f"{self.work}: {unit}"
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

    def _bytes_left(self) -> int:
        total = sum(spec.shape[0] * spec.row_bytes for spec in self.specs.values())
        parts = [part for entry in self._ledger.entries().values() for part in entry.parts]
        done = sum(part.rows * self.specs[part.array].row_bytes for part in parts)
        return max(total - done, 1)

    def _joined(self, spec: ArraySpec, parts: list[Part]) -> int:
        """CRC-32 of an array whose rows the parts cover exactly once."""
        end = Part(spec.name, spec.shape[0], 0, 0)
        crc, row = 0, 0
        for part in [*sorted(part for part in parts if part.rows), end]:
            if part.start != row:
                low, high = sorted((row, part.start))
                what = "written twice" if part.start < row else "not written by any unit"
                raise StoreError(
                    f"{self.work}: {spec.name}: rows {low} to {high} are {what}",
                    f"remove {self.work} and run the same command again",
                )
            crc = combine(crc, part.crc32, part.rows * spec.row_bytes)
            row += part.rows
        return crc
