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
from stages.encode.schedule import Work, run_units
from stages.encode.units import Encoded, Walk, WorkUnit
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
    """

    encoded: list[ArraySpec]
    arrays: Mapping[str, np.ndarray]
    works: Mapping[str, Work[Any]]
    covers: Callable[[WorkUnit], Mapping[str, tuple[int, int]]]
    columns: Callable[[Mapping[int, str]], Mapping[str, np.ndarray]]
    pictures: Sequence[str]
    attributes: Mapping[str, Any]

    @property
    def specs(self) -> list[ArraySpec]:
        """Of all the store's arrays."""
        return [*self.encoded, *specs_of(self.arrays), *specs_of(self.columns({}))]

    def run(self, build: Build, threads: int) -> dict[str, Any]:
        """Write everything that no process has written yet; returns timings by kind."""
        _write_whole(build, FIRST, self.arrays)
        timings = {}
        with quiet_pillow():
            for kind, work in self.works.items():
                timings[kind] = _run(build, kind, work, threads)
        _write_whole(build, LAST, self.columns(self._failed(build)))
        return timings

    def finish(self, build: Build) -> dict[str, Any]:
        """Move the store into place; returns its attributes."""
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


def _run(build: Build, kind: str, work: Work[Any], threads: int) -> dict[str, float]:
    left = [unit for unit in work.units if not build.done(unit.name)]
    if len(left) < len(work.units):
        log.info("resuming: %d units are finished already", len(work.units) - len(left))
    walk = Walk(work.units, build.done)

    def write(unit: WorkUnit, encoded: Encoded) -> None:
        walk.met |= walk.is_done(unit)
        build.write(unit.name, encoded.parts, encoded.note)

    with progress(sum(map(work.size, left)), work.counted, f"encode {kind}") as bar:
        return run_units(work, walk, write, threads, bar).rates()


def _write_whole(build: Build, unit: str, arrays: Mapping[str, np.ndarray]) -> None:
    if not build.done(unit):
        build.write(unit, [(name, 0, array) for name, array in arrays.items()])
