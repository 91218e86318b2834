"""The leader: deals units to workers, hears what is done, replaces those that are gone."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from cache.build import Build
from cache.errors import MelovError
from stages.encode.schedule import Timing, Work
from stages.encode.units import WorkUnit
from stages.encode.workers.dealing import Dealing
from stages.encode.workers.worker import Assignment, Done, Failed, Gone, Ready, Said, Up
from stages.progress import progress

log = logging.getLogger(__name__)

DEATHS = 3
"""How often each worker may be replaced before one of them has finished a unit."""


class Team(Protocol):
    """Workers, wherever they are."""

    threads: int

    @property
    def devices(self) -> Mapping[str, str]:
        """The device of each worker by its name, of those that were replaced, too."""

    def dtype(self, said: str) -> str:
        """The precision of the workers' forward passes; `auto` is theirs to decide."""

    def assign(self, assignment: Assignment) -> None:
        """Let all workers, and those that are hired later, open the encoder."""

    def order(self, name: str, unit: WorkUnit) -> None:
        """Give a worker a unit; where it is no more, `hear` tells."""

    def hear(self) -> list[tuple[str, Said]]:
        """What workers said since; waits for it for a second or so."""

    def replace(self, name: str) -> None:
        """Hire another worker for one that is gone."""

    def close(self) -> None:
        """End all workers."""


def lead(
    team: Team, build: Build, works: Mapping[str, Work[Any]], assignment: Assignment
) -> dict[str, Any]:
    """Have all units done that no ledger has; returns timings by kind, and by worker.

    Raises:
        MelovError: what a worker raised; workers are killed again and again.
    """
    return _Leading(team, build, works).lead(assignment)


class _Leading:
    def __init__(self, team: Team, build: Build, works: Mapping[str, Work[Any]]) -> None:
        self._team, self._works = team, works
        units = [unit for work in works.values() for unit in work.units]
        self._left = [unit for unit in units if not build.done(unit.name)]
        if len(self._left) < len(units):
            log.info("resuming: %d units are finished already", len(units) - len(self._left))
        self._dealing = Dealing(self._left)
        self._ready: list[str] = []
        self._said: dict[str, dict[str, Any]] = {}
        self._timings: dict[str, dict[str, Timing]] = {}
        self._rows: Counter[str] = Counter()
        self._begun: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._deaths, self._team_size = 0, len(team.devices)
        self._bars: dict[str, Any] = {}
        self._stack = ExitStack()

    def lead(self, assignment: Assignment) -> dict[str, Any]:
        with self._stack:
            if self._left:
                self._team.assign(assignment)
            while not self._dealing.is_over:
                for name, said in self._team.hear():
                    self._hear(name, said)
                self._deal()
        return self._rates()

    def _deal(self) -> None:
        """One each in turn, until everybody has enough."""
        given = True
        while given and not self._dealing.is_over:
            given = False
            for name in self._ready:
                unit = self._dealing.next_for(name)
                if unit is not None:
                    given = True
                    self._bar(unit.kind)
                    self._team.order(name, unit)

    def _hear(self, name: str, said: Said) -> None:
        if isinstance(said, Up):
            self._said[name] = {"process": said.host}
        elif isinstance(said, Ready):
            self._ready.append(name)
        elif isinstance(said, Done):
            self._deaths = 0
            self._timings.setdefault(name, {})[said.unit.kind] = said.timing
            if self._dealing.done(said.unit):
                kind, work = said.unit.kind, self._works[said.unit.kind]
                self._bar(kind).update(work.size(said.unit))
                self._rows[kind] += len(work.rows(said.unit))
                self._ended[kind] = time.perf_counter()
        elif isinstance(said, Failed):
            raise said.error
        else:
            self._lose(name, said)

    def _lose(self, name: str, gone: Gone) -> None:
        held = [unit.name for unit in self._dealing.held(name)]
        had = f"; it had {', '.join(held)}" if held else ""
        self._dealing.lost(name)
        if name in self._ready:
            self._ready.remove(name)
        self._deaths += 1
        if self._deaths > DEATHS * self._team_size:
            raise MelovError(
                f"workers end before they have finished anything, the last one by: "
                f"{gone.reason}{had}",
                "look for what ends them (memory?), take fewer of them, or none; the same command "
                "resumes",
            )
        log.warning("worker %s is gone (%s)%s; another one takes its place", name, gone.reason, had)
        self._said.setdefault(name, {})["gone"] = gone.reason
        self._team.replace(name)

    def _bar(self, kind: str) -> Any:
        """Of all workers, from the first unit of a kind on."""
        if kind not in self._bars:
            work = self._works[kind]
            total = sum(work.size(unit) for unit in self._left if unit.kind == kind)
            what = f"encode {kind}, {self._team_size} workers"
            self._bars[kind] = self._stack.enter_context(progress(total, work.counted, what))
            self._begun[kind] = time.perf_counter()
        return self._bars[kind]

    def _rates(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind in self._works:
            timing = Timing()
            for of_worker in self._timings.values():
                timing.add(of_worker.get(kind, Timing()))
            timing.rows = self._rows[kind]  # each once, whoever did it besides
            seconds = self._ended.get(kind, 0.0) - self._begun.get(kind, 0.0)
            found[kind] = timing.rates(seconds)
        found["workers"] = {
            name: {
                "device": device, "threads": self._team.threads, **self._said.get(name, {}),
                **{kind: of.rates() for kind, of in self._timings.get(name, {}).items()},
            }
            for name, device in self._team.devices.items()
        }  # fmt: skip
        found["units_dealt_twice"] = self._dealing.copies
        return found
