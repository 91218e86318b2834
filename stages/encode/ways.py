"""Who does the units of a store: one process, a part of several, or workers that one process leads.

Whoever does a unit calls the same function on it (`doing.py`), so all ways end with the
same store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Part `number` of `of`, counted from 1."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"part {self.number} of {self.of}: expected 1 to {self.of}")

    def share(self, units: Sequence[Item]) -> list[Item]:
        """Every `of`-th of them, so that each part gets short texts and long ones. All parts
        together have each once, whatever their number."""
        return list(units[self.number - 1 :: self.of])


@dataclass(frozen=True)
class Workers:
    """Processes that are given units by the one that started them.

    Args:
        said: a number of processes of this machine; `cuda`: one a GPU of it; `ray`: actors of a
            cluster.
        address: of the cluster; None for the one that Ray finds, or starts here.
        gpus: of each actor; None for one where the cluster has some.
    """

    said: int | Literal["cuda", "ray"]
    address: str | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class Doers:
    """One process alone; or one of several that were started `together`; or one that does a `part`;
    or one that leads `workers`."""

    together: bool = False
    part: Part | None = None
    workers: Workers | None = None

    @property
    def shared(self) -> bool:
        """Whether other commands may make the same store at the same time."""
        return self.together or self.part is not None


ALONE = Doers()


def threads_said() -> int | None:
    """The number of threads that OMP_NUM_THREADS asks for; None where it is not set."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) else None
