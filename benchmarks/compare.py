"""Ours and its peers in turn, several rounds, in one process: what travels is the ratio.

A benchmark is a module of this package with `run(full: bool, rounds: int) -> Result`.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """One contender; ratios are its time over ours, round by round, so above 1 is slower."""

    name: str
    seconds: float
    """Median."""
    ratio: float
    ratio_min: float
    ratio_max: float


@dataclass(frozen=True)
class Mark:
    """A figure with a goal. `met` is decided where the figure is known, not by a reader."""

    what: str
    goal: str
    found: str
    met: bool


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome. `notes` are sentences: sizes, bytes, FLOPs, what bounds it."""

    name: str
    what: str
    timings: list[Timing] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping in the JSON file."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> list[Timing]:
    """Run all in turn, `rounds` times after one unmeasured round; the first is ours."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for lap in range(rounds + 1):
        for name, run in contenders.items():
            gc.collect()
            taken = seconds_of(run)
            if lap:
                seconds[name].append(taken)
    ours = next(iter(seconds.values()))
    found = []
    for name, times in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
        found.append(
            Timing(
                name, statistics.median(times), statistics.median(ratios), min(ratios), max(ratios)
            )
        )
    return found


def seconds_of(run: Callable[[], Any]) -> float:
    """Wall time of a call and of what it started on a GPU."""
    _settle()
    begun = time.perf_counter()
    run()
    _settle()
    return time.perf_counter() - begun


def _settle() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def ratio_of(timings: list[Timing], name: str) -> float:
    """A contender's median time over ours."""
    return next(t.ratio for t in timings if t.name == name)


def at_least(what: str, found: float, goal: float, unit: str = "x") -> Mark:
    return Mark(what, f"at least {goal:g}{unit}", f"{found:.3g}{unit}", found >= goal)


def at_most(what: str, found: float, goal: float, unit: str = "x") -> Mark:
    return Mark(what, f"at most {goal:g}{unit}", f"{found:.3g}{unit}", found <= goal)


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Of log time against log size: 1 is linear, 2 quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


class PeakMemory:
    """Private memory of this process while a block runs, sampled: pages of mapped files, which the
    system may drop, do not count.

    >>> with PeakMemory() as peak: ...
    >>> peak.gib          # the peak
    >>> peak.grown_gib    # above where the block began
    """

    EVERY = 0.02  # seconds

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self._begin = self._peak = private_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._peak = max(self._peak, private_bytes())

    @property
    def gib(self) -> float:
        return self._peak / 2**30

    @property
    def grown_gib(self) -> float:
        return (self._peak - self._begin) / 2**30

    def _watch(self) -> None:
        while not self._stop.wait(self.EVERY):
            self._peak = max(self._peak, private_bytes())


def private_bytes() -> int:
    """Anonymous resident memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: memory can be measured on Linux only")
