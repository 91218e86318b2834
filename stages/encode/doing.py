"""The one function that does units of a store, whoever calls it: a process alone, one of several, a
worker."""

from collections.abc import Callable
from typing import Any

from cache.build import Build
from stages.encode.schedule import Timing, Way, Work, run_units
from stages.encode.units import Encoded, Walk, WorkUnit


def do_units(
    build: Build,
    work: Work[Any],
    way: Way,
    threads: int,
    told: Callable[[WorkUnit], object],
    timing: Timing | None = None,
) -> Timing:
    """Encode units and write them to the store in the making; each is then in its ledger.

    Args:
        way: which units, in which order.
        threads: that decode pictures.
        told: called with each unit that is done, by whichever process.
        timing: what is added to; returned at the end.

    Raises:
        MelovError: an input that is not what it was, or a full disk; what was done before stays.
    """

    def write(unit: WorkUnit, encoded: Encoded) -> None:
        if isinstance(way, Walk):
            way.met |= way.is_done(unit)
        build.write(unit.name, encoded.parts, encoded.note)

    return run_units(work, way, write, threads, told, timing)
