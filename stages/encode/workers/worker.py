"""What a worker does: it is given the work once, then units, and tells of each that is done.

The same for every kind of worker: they differ in how orders come and how word goes back.
"""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from cache.build import Build
from cache.errors import MelovError
from cache.fingerprint import Fingerprint
from stages.allocator import keep_freed_memory
from stages.encode.decode import quiet_pillow
from stages.encode.doing import do_units
from stages.encode.schedule import Timing, Work
from stages.encode.units import WorkUnit

Opened = Callable[[torch.device, Fingerprint], Mapping[str, Work[Any]]]
"""What opens an encoder and makes the work with it; it can be pickled."""


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to do any unit; processes get it pickled.

    Args:
        build: the store in the making, by absolute paths.
        opened: opens the encoder on a device, the one that the store's fingerprint tells of; the
            work by the kind of its units.
        decode_threads: threads that decode pictures.
    """

    build: Build
    opened: Opened
    decode_threads: int


@dataclass(frozen=True)
class Up:
    """The worker's process is there."""

    host: str


@dataclass(frozen=True)
class Ready:
    """Its encoder is open."""


@dataclass(frozen=True)
class Done:
    """A unit is on the disk.

    Args:
        timing: of all the worker's units of this kind so far.
    """

    unit: WorkUnit
    timing: Timing


@dataclass(frozen=True)
class Failed:
    """The worker has stopped."""

    error: Exception


@dataclass(frozen=True)
class Gone:
    """Its process has ended."""

    reason: str


Said = Up | Ready | Done | Failed | Gone


class Orders(Protocol):
    """Where a worker's units come from."""

    def wait(self) -> WorkUnit | None:
        """The next one; None if there will be none."""

    def more(self) -> WorkUnit | None:
        """The next one, if it is there already."""


class Dealt:
    """A worker's way: units of one kind, for as long as the next one is there already.

    Where the next one is of another kind, `left` has it at the end.
    """

    def __init__(self, first: WorkUnit, orders: Orders, done: Callable[[str], bool]) -> None:
        self._first, self._orders, self._done = first, orders, done
        self.left: WorkUnit | None = None

    def is_done(self, unit: WorkUnit) -> bool:
        return self._done(unit.name)

    def __iter__(self) -> Iterator[WorkUnit]:
        unit: WorkUnit | None = self._first
        while unit is not None and unit.kind == self._first.kind:
            yield unit
            unit = self._orders.more()
        self.left = unit


def here() -> str:
    """This process, for who looks for it."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def work_on(
    assignment: Assignment, device: str, threads: int, orders: Orders, say: Callable[[Said], None]
) -> None:
    """Open the encoder, then do units as they are ordered; returns when no more come.

    Args:
        device: of the encoder.
        threads: of a matrix product on a CPU, on which its last bits depend.
        say: may be called by another thread. It hears `Ready`, `Done` of each unit, and what made
            the worker stop before its time, if anything did.
    """
    try:
        _work_on(assignment, device, threads, orders, say)
    except Exception as error:
        error.add_note(f"in a worker on {here()}:\n{traceback.format_exc()}")
        say(Failed(_portable(error)))


def _portable(error: Exception) -> Exception:
    """The error as another process can have it: that of a library may hold whatever it likes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("\n".join([repr(error), *error.__notes__]))
    return error


def _work_on(
    assignment: Assignment, device: str, threads: int, orders: Orders, say: Callable[[Said], None]
) -> None:
    folder = assignment.build.work.home.parent
    if not folder.is_dir():
        raise MelovError(
            f"{folder}: not there on {here()}",
            "share the project's folder with every machine, under the same path",
        )
    torch.set_num_threads(threads)  # in the thread that encodes
    on = torch.device(device)
    if on.type == "cuda":
        torch.cuda.set_device(on)
    elif on.type == "cpu":
        keep_freed_memory()
    works, build = assignment.opened(on, assignment.build.work.fingerprint), assignment.build
    timings: defaultdict[str, Timing] = defaultdict(Timing)

    def told(unit: WorkUnit) -> None:
        say(Done(unit, timings[unit.kind].copy()))

    say(Ready())
    unit: WorkUnit | None = None
    with quiet_pillow():
        while (unit := unit or orders.wait()) is not None:
            way = Dealt(unit, orders, build.done)
            work, timing = works[unit.kind], timings[unit.kind]
            do_units(build, work, way, assignment.decode_threads, told, timing)
            unit = way.left
