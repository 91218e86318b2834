"""One extraction into one store: what is written whole, and the units that encoders fill.

The store of features and the store of joint vectors are both made this way. Any number of processes
may run the same job at once: each does the units that no ledger has, and one of them finishes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.build import Build
from cache.layout import ArraySpec
from stages.encode.arrays import specs_of
from stages.encode.decode import quiet_pillow
from stages.encode.doing import do_units
from stages.encode.schedule import Work
from stages.encode.units import Walk, WorkUnit
from stages.encode.ways import Part
from stages.encode.workers.lead import Team, lead
from stages.encode.workers.worker import Assignment, Opened
from stages.progress import progress

log = logging.getLogger(__name__)

FIRST, LAST = "records", "columns"
"""Units of the small arrays."""


@dataclass(frozen=True)
class EncodingJob:
    """What has to be done, for the first time or again after a kill.

    Args:
        encoded: specs of the arrays that units of work write.
        arrays: small ones that are there before an encoder runs.
        works: by the kind of their units.
        covers: which rows, [start, stop) by array, a unit writes.
        columns: the small arrays that depend on which pictures did not decode; called with the
            reason by the picture's row.
        pictures: the pictures' paths by row.
        attributes: of the store; it gets `failed_pictures`, path to reason, besides.
        opened: makes the same `works` in another process; None where none may.
    """

    encoded: list[ArraySpec]
    arrays: Mapping[str, np.ndarray]
    works: Mapping[str, Work[Any]]
    covers: Callable[[WorkUnit], Mapping[str, tuple[int, int]]]
    columns: Callable[[Mapping[int, str]], Mapping[str, np.ndarray]]
    pictures: Sequence[str]
    attributes: Mapping[str, Any]
    opened: Opened | None = None

    @property
    def specs(self) -> list[ArraySpec]:
        """Of all the store's arrays."""
        return [*self.encoded, *specs_of(self.arrays), *specs_of(self.columns({}))]

    def run(
        self, build: Build, threads: int, part: Part | None = None, team: Team | None = None
    ) -> dict[str, Any]:
        """Have the units done that no process has done yet; returns timings by kind.

        Args:
            threads: that decode pictures.
            part: whose share of the units is to be done; None for all.
            team: does them; None for this process.
        """
        _write_whole(build, FIRST, self.arrays)
        if team is not None:
            assert self.opened is not None
            return lead(team, build, self.works, Assignment(build.absolute(), self.opened, threads))
        with quiet_pillow():
            return {
                kind: _run(build, kind, work, threads, part or Part())
                for kind, work in self.works.items()
            }

    def left(self, build: Build) -> int:
        """Units that nobody has done."""
        return sum(not build.done(name) for name in self._units)

    def finish(self, build: Build) -> dict[str, Any]:
        """Write what depends on all units, and move the store into place; returns its
        attributes."""
        _write_whole(build, LAST, self.columns(self._failed(build)))
        failed = {self.pictures[row]: why for row, why in sorted(self._failed(build).items())}
        attributes = {**self.attributes, "failed_pictures": failed}
        build.finish([FIRST, *self._units, LAST], attributes)
        return attributes

    @property
    def _units(self) -> list[str]:
        return [unit.name for work in self.works.values() for unit in work.units]

    def _failed(self, build: Build) -> dict[int, str]:
        notes = [build.note(name) or [] for name in self._units]
        return {row: reason for note in notes for row, reason in note}


def _run(build: Build, kind: str, work: Work[Any], threads: int, part: Part) -> dict[str, float]:
    units = part.share(work.units)
    left = [unit for unit in units if not build.done(unit.name)]
    if len(left) < len(units):
        log.info("resuming: %d units are finished already", len(units) - len(left))

    def told(unit: WorkUnit) -> None:
        bar.update(work.size(unit))

    with progress(sum(map(work.size, left)), work.counted, f"encode {kind}") as bar:
        return do_units(build, work, Walk(units, build.done), threads, told).rates()


def _write_whole(build: Build, unit: str, arrays: Mapping[str, np.ndarray]) -> None:
    if not build.done(unit):
        build.write(unit, [(name, 0, array) for name, array in arrays.items()])
