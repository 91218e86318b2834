"""Workers that are processes of this machine: they hear and speak by a pipe each."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler

import torch

from stages.device import resolve_dtype
from stages.encode.units import WorkUnit
from stages.encode.workers.worker import Assignment, Gone, Said, Up, here, work_on

_SECONDS = 1.0
"""How long `hear` waits at most."""
PRELOADED = ["stages.encode.feature_job"]
"""What workers import that are forks."""
_LOST = (EOFError, OSError)
"""What the other end's death leads to."""


class LocalTeam:
    """Processes of this machine, one a device of the list.

    Args:
        devices: of the encoder, one a worker.
        threads: of each worker's matrix products.
    """

    def __init__(self, devices: Sequence[str], threads: int) -> None:
        self.threads = threads
        self._context = _context(devices)
        self._devices: dict[str, str] = {}
        self._processes: dict[str, BaseProcess] = {}
        self._pipes: dict[str, Connection] = {}
        self._assignment: bytes | None = None
        self._up: list[str] = []
        """Those that wait for the assignment."""
        self._lost: dict[str, str] = {}
        for device in devices:
            self._hire(device)

    @property
    def devices(self) -> dict[str, str]:
        """The device of each worker by its name, of those that were replaced, too."""
        return dict(self._devices)

    def dtype(self, said: str) -> str:
        """The precision of the forward passes: `auto` as a process alone decides it."""
        return resolve_dtype(said, torch.device(next(iter(self._devices.values()))))

    def assign(self, assignment: Assignment) -> None:
        """Let all workers, and those that are hired later, open the encoder."""
        self._assignment = bytes(ForkingPickler.dumps(assignment))
        up, self._up = self._up, []
        for name in up:
            self._send(name, self._assignment)

    def order(self, name: str, unit: WorkUnit) -> None:
        """Give a worker a unit; where it is no more, `hear` tells."""
        self._send(name, bytes(ForkingPickler.dumps(unit)))

    def hear(self) -> list[tuple[str, Said]]:
        """What workers said since; waits for it for a second."""
        names = {pipe: name for name, pipe in self._pipes.items()}
        found = [self._heard(names[pipe]) for pipe in wait(list(names), _SECONDS)]  # type: ignore[index]
        return [(name, said) for name, said in found if said is not None]

    def replace(self, name: str) -> None:
        """Hire another worker for the device of one that is gone."""
        self._hire(self._devices[name])

    def close(self) -> None:
        """End all workers at once: what they have not finished is nowhere."""
        for process in self._processes.values():
            process.kill()
        for name in list(self._processes):
            self._dismiss(name)

    def _hire(self, device: str) -> None:
        name = str(len(self._devices) + 1)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, device, self.threads), name=f"worker-{name}", daemon=True
        )
        process.start()
        theirs.close()
        self._devices[name], self._processes[name], self._pipes[name] = device, process, ours

    def _send(self, name: str, data: bytes) -> None:
        with suppress(*_LOST):
            self._pipes[name].send_bytes(data)

    def _heard(self, name: str) -> tuple[str, Said | None]:
        try:
            said: Said = self._pipes[name].recv()
        except _LOST:
            return name, Gone(self._dismiss(name))
        if isinstance(said, Up):
            if self._assignment is None:
                self._up.append(name)
            else:
                self._send(name, self._assignment)
        return name, said

    def _dismiss(self, name: str) -> str:
        """Forget a worker whose end of the pipe is closed; how it ended."""
        process = self._processes.pop(name)
        process.join(5)
        process.kill()
        process.join()
        code = process.exitcode or 0
        process.close()
        self._pipes.pop(name).close()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _context(devices: Sequence[str]) -> ForkServerContext | SpawnContext:
    """Forks of one process that has imported torch once; no GPU outlives a fork, and macOS's
    libraries may not."""
    if sys.platform == "linux" and all(device == "cpu" for device in devices):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        return context
    return multiprocessing.get_context("spawn")


class _Piped:
    """Orders that come by a pipe; its end, or the leader's, means no more."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def wait(self) -> WorkUnit | None:
        try:
            unit: WorkUnit = self._pipe.recv()
        except _LOST:
            return None
        return unit

    def more(self) -> WorkUnit | None:
        try:
            return self.wait() if self._pipe.poll() else None
        except _LOST:
            return None


def _serve(pipe: Connection, device: str, threads: int) -> None:
    """A worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the leader, who ends us
    lock = threading.Lock()

    def say(said: Said) -> None:
        with lock, suppress(*_LOST):
            pipe.send(said)

    import stages.encode.feature_job  # noqa: F401 - takes seconds, while the leader plans

    say(Up(here()))
    with suppress(*_LOST):
        assignment: Assignment = pipe.recv()
        work_on(assignment, device, threads, _Piped(pipe), say)
