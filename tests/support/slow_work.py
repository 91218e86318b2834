"""Work as workers open it, so slow that a test can meet them in the midst of it.

By its place, `feature_job._opened`, it reaches processes that no test can patch.
"""

import errno
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stages.encode import feature_job
from stages.encode.schedule import Work
from stages.encode.units import Encoded, WorkUnit
from stages.paths import DatasetPaths

SECONDS = 0.1
"""Of a unit, besides."""
_opened = feature_job._opened


def opened_slowly(*arguments: Any) -> Mapping[str, Work[Any]]:
    """In the place of `feature_job._opened`."""
    return _wrapped(_opened(*arguments), lambda unit: time.sleep(SECONDS))


def opened_to_tell(*arguments: Any) -> Mapping[str, Work[Any]]:
    """The same; each process leaves the threads that it computes with in a file."""

    def tell(unit: WorkUnit) -> None:
        (arguments[1] / f"threads-{os.getpid()}").write_text(str(torch.get_num_threads()))

    return _wrapped(_opened(*arguments), tell)


def opened_to_die(*arguments: Any) -> Mapping[str, Work[Any]]:
    """The same, and one unit kills whoever begins it."""

    def die(unit: WorkUnit) -> None:
        if unit.name == "texts/32-46":
            os.kill(os.getpid(), signal.SIGKILL)

    return _wrapped(_opened(*arguments), die)


def opened_to_fail(*arguments: Any) -> Mapping[str, Work[Any]]:
    """The same, and one unit is a defect, told by an exception that cannot be pickled."""

    def fail(unit: WorkUnit) -> None:
        if unit.name == "texts/16-32":
            error = ValueError("a defect")
            error.held = open(os.devnull)  # noqa: SIM115 - to be in the way
            raise error

    return _wrapped(_opened(*arguments), fail)


def opened_on_a_full_disk(*arguments: Any) -> Mapping[str, Work[Any]]:
    """The same, in a process whose disk takes a few writes and no more."""
    real, writes = os.pwrite, itertools.count()

    def pwrite(*args: Any) -> int:
        if next(writes) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    os.pwrite = pwrite
    return _opened(*arguments)


def opened_to_hang(*arguments: Any) -> Mapping[str, Work[Any]]:
    """The same, and who first begins one unit never ends it."""

    def hang(unit: WorkUnit) -> None:
        planned = arguments[0]
        mark = planned.pictures_root.parent / "hangs"
        if unit.name == "texts/16-32":
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            time.sleep(3600)

    return _wrapped(_opened(*arguments), hang)


def _wrapped(
    works: Mapping[str, Work[Any]], before: Callable[[WorkUnit], None]
) -> Mapping[str, Work[Any]]:
    def wrapped(work: Work[Any]) -> Work[Any]:
        def encode(unit: WorkUnit, items: Sequence[Any]) -> Encoded:
            before(unit)
            return work.encode(unit, items)

        return replace(work, encode=encode)

    return {kind: wrapped(work) for kind, work in works.items()}


def ledgers(paths: DatasetPaths) -> dict[int, int]:
    """Units that each process has written to the store in the making, by its number."""
    found = {}
    for path in paths.partial.glob("*/*/ledgers/*.jsonl"):
        found[int(path.stem.split("-")[-2])] = _lines(path)
    return found


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"}\n")
    except FileNotFoundError:  # the store is finished meanwhile
        return 0
