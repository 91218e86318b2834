"""Trials: a command in a copy of a tree, disturbed at one mutation, looked at, and run again.

with Bench(scratch()) as bench:
    for result in bench.trials(CASES["graph"], [Fault("kill", 12), Fault("full", 30)]):
        result.wrong        # "" or what went wrong
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from tests.faults.cases import Case, Straight, differences, everything, mixed, scene
from tests.faults.forks import Ended, Fault, Forks, compiled
from tests.faults.power import cut
from tests.faults.trees import WHOLE, call, tree

WORKERS = 2
SIGNALS = {"kill": -9, "half": -9, "terminate": -15, "power": -9}
FULL = ("full", "short", "inodes")


@dataclass(frozen=True)
class Result:
    """One trial.

    status: of the disturbed run, as of `subprocess`.
    left: what the disturbed run left: `older`, `newer`, or what the next command made of a mixture.
    wrong: what it should not have been; empty where all is well.
    """

    case: str
    fault: Fault
    of: int
    point: str
    status: int
    left: str
    wrong: str

    @property
    def is_full(self) -> bool:
        return self.fault.mode in FULL

    @property
    def row(self) -> tuple[str, ...]:
        where = f"{self.fault.at} of {self.of}"
        if self.fault.then:
            where += f", then {self.fault.then}"
        result = self.wrong or "held"
        return self.case, self.fault.mode, where, self.point, str(self.status), self.left, result


HEADER = ("command", "mode", "number", "point", "status", "left", "result")


class Bench:
    """Fork servers, and a tree for each case with what an undisturbed run makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._straight: dict[str, Straight] = {}
        self._scenes: dict[str, Path] = {}
        self._idle: SimpleQueue[Forks] = SimpleQueue()
        self._stack = ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        shim = compiled(self.folder)
        for i in range(WORKERS):
            forks = Forks(shim, self.folder / f"server-{i}", tree(WHOLE))
            self._idle.put(self._stack.enter_context(forks))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(WORKERS))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def straight(self, case: Case) -> Straight:
        """The case without a fault, run once."""
        return self.straights([case])[0]

    def straights(self, cases: Sequence[Case]) -> list[Straight]:
        """The same for many cases, side by side."""
        new = [case for case in cases if case.name not in self._straight]
        for name in dict.fromkeys(case.scene for case in new):  # each before it is copied
            if name not in self._scenes:
                forks = self._idle.get()
                self._scenes[name] = scene(name, self._new("scene"), forks)
                self._idle.put(forks)
        for case, found in zip(new, self._pool.map(self._run_straight, new), strict=True):
            self._straight[case.name] = found
        return [self._straight[case.name] for case in cases]

    def trials(self, case: Case, faults: Sequence[Fault]) -> Iterator[Result]:
        """Try each fault; in the order in which they were given."""
        straight = self.straight(case)
        futures: list[Future[Result]] = [
            self._pool.submit(self._trial, case, straight, fault) for fault in faults
        ]
        for future in futures:
            yield future.result()

    def _new(self, kind: str) -> Path:
        self._number += 1
        return self.folder / f"{kind}-{self._number}"

    def _run_straight(self, case: Case) -> Straight:
        root = shutil.copytree(self._scenes[case.scene], self._new("straight"))
        forks = self._idle.get()
        try:
            before = everything(root)
            ended = forks.run(root, *case.command)
            if ended.status:
                raise AssertionError(f"{case.name} fails undisturbed:\n{ended.output}")
            after = everything(root)
            if not differences(before, after):
                raise AssertionError(f"{case.name} changes nothing, so its trials tell nothing")
            return Straight(before, after, ended)
        finally:
            self._idle.put(forks)
            shutil.rmtree(root)

    def _trial(self, case: Case, straight: Straight, fault: Fault) -> Result:
        root = shutil.copytree(self._scenes[case.scene], self._new("trial"))
        forks = self._idle.get()
        try:
            ended = forks.run(root, *case.command, fault)
            reached = len(ended.mutations) >= fault.at
            point = ended.mutations[fault.at - 1] if reached else "past the end"
            if fault.mode == "power":
                cut(root, ended.trace[:-1], random.Random(fault.at))  # without the last, not done
            left, wrong = self._left(case, straight, root, forks)
            wrong = [*([wrong] if wrong else []), *_odd_end(fault, ended, root, straight)]
            if fault.then:
                forks.run(root, *case.command, Fault("kill", fault.then))
                wrong += filter(None, [self._left(case, straight, root, forks)[1]])
            again = forks.run(root, *case.command)
            if again.status:
                wrong.append(f"run again it ends with {again.status}: {again.output[-500:]}")
            wrong += [
                f"run again: {what}" for what in differences(everything(root), straight.after)
            ]
            of = len(straight.ended.mutations)
            shown = re.sub(r"[0-9a-f]{16}|\.\d+\.", "#", str(point))
            return Result(case.name, fault, of, shown, ended.status, left, "; ".join(wrong[:6]))
        finally:
            self._idle.put(forks)
            shutil.rmtree(root)

    def _left(self, case: Case, straight: Straight, root: Path, forks: Forks) -> tuple[str, str]:
        """Whether the older output is there, or the newer, or what the next reader finds."""
        now = everything(root)
        if not mixed(now, straight.before, straight.after, case.by_file):
            same = not differences(now, straight.after)
            return ("newer" if same else "older"), ""
        module, given = call("verify")
        copy = shutil.copytree(root, self._new("copy"), symlinks=True)
        found = forks.run(copy, module, given)
        still = mixed(everything(copy), straight.before, straight.after)
        shutil.rmtree(copy)
        if not still:
            return "newer, completed by the next command", ""
        what = "; ".join(f"{group}: {files}" for group, files in sorted(still.items()))
        return f"neither ({what})", f"{what} is neither the older nor the newer:\n{found.output}"


def _odd_end(fault: Fault, ended: Ended, root: Path, straight: Straight) -> list[str]:
    """What a disturbed run should not have said, or how it should not have ended."""
    found = ["a traceback"] if "Traceback" in ended.output else []
    if fault.mode in SIGNALS:
        wanted = [SIGNALS[fault.mode]] if len(ended.mutations) >= fault.at else [0]
    elif fault.mode == "interrupt":
        wanted = [0, 130]
    else:
        wanted = [1]
        if ended.status == 0:  # what could not be written was none of the output
            wanted = [0] if not differences(everything(root), straight.after) else [1]
        elif not _tells_full(ended.output):
            found.append("no clear message of a full disk")
    if ended.status not in wanted:
        found.append(f"it ended with {ended.status}")
    return found + ([f"it said: {ended.output[-1500:]}"] if found else [])


def _tells_full(output: str) -> bool:
    """Whether exactly one error is shown, and that one names a path and the full disk."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    full = r"error: [^:\[]+: .*(disk full|No space left on device)"
    return len(errors) == 1 and re.match(full, errors[0]) is not None


def killed_at(straight: Straight, most: int, chance: random.Random) -> list[Fault]:
    """Up to `most` faults: at the first and the last mutation, at renames and removals first, then
    at any; of the writes some are cut in half. Every fifth run is killed once more when it is
    run again, mostly amid what it does to what the first kill left."""
    mutations = straight.ended.mutations
    last = len(mutations)
    faults = [Fault(mode, at) for at in dict.fromkeys((1, last)) for mode in ("kill", "half")]
    decisive = [i for i, m in enumerate(mutations, 1) if m.what in ("rename", "remove")]
    chance.shuffle(decisive)
    faults += [Fault("kill", at) for at in decisive[: most // 3]]
    rest = [Fault("kill", at) for at in range(1, last + 1)]
    rest += [Fault("half", at) for at, m in enumerate(mutations, 1) if m.what in ("write", "copy")]
    signals = ("interrupt", "terminate", "power", "power")
    rest += [Fault(mode, at + i) for at in range(1, last - 2, 4) for i, mode in enumerate(signals)]
    chance.shuffle(rest)
    found = list(dict.fromkeys([*faults, *rest]))[:most]
    found[::5] = [replace(fault, then=chance.randint(1, 30)) for fault in found[::5]]
    return found


def full_at(straight: Straight, most: int, chance: random.Random) -> list[Fault]:
    """Up to `most` faults at mutations that need space: the first and the last, then any."""
    mutations = straight.ended.mutations
    growing = [at for at, m in enumerate(mutations, 1) if m.kind in "+*"]
    if not growing:
        return []
    faults = [Fault("full", at) for at in dict.fromkeys((growing[0], growing[-1]))]
    rest = [Fault("full", at) for at in growing]
    rest += [Fault("short", at) for at in growing if mutations[at - 1].kind == "+"]
    rest += [Fault("inodes", at) for at in growing if mutations[at - 1].kind == "*"]
    chance.shuffle(rest)
    return list(dict.fromkeys([*faults, *rest]))[:most]


def shared_out(total: int, points: dict[str, int]) -> dict[str, int]:
    """How many of `total` trials each command gets: as many as any other, or all its points."""
    given = dict.fromkeys(points, 0)
    left = min(total, sum(points.values()))
    while left:
        for name in [name for name in points if given[name] < points[name]][:left]:
            given[name] += 1
            left -= 1
    return given
