"""Workers that are actors of a Ray cluster (extra `ray`).

An actor opens the encoder once. Units are ordinary calls of it, several at once, so that one is
read and another written while a third is encoded. Nothing of a store goes through Ray: every node
reads and writes the project's folder, which all of them share.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from concurrent.futures import Future
from typing import Any

from cache.errors import MelovError, reason
from stages.config import ExtractConfig
from stages.device import resolve_device, resolve_dtype
from stages.encode.units import WorkUnit
from stages.encode.ways import Workers, threads_said
from stages.encode.workers.dealing import AHEAD
from stages.encode.workers.worker import (
    Assignment,
    Done,
    Failed,
    Gone,
    Ready,
    Said,
    Up,
    here,
    work_on,
)
from stages.lazy import require

log = logging.getLogger(__name__)

_SECONDS = 1.0
"""How long `hear` waits at most."""
_LAST_SECONDS = 10.0
"""How long to wait at most for an actor's end, and for an address to answer."""
_PATIENCE = 30
"""So many times in a row, before it is told that no worker has begun."""


class RayTeam:
    """Actors of a cluster, as many as it has room for.

    Args:
        workers: the cluster's address, and the GPUs of each.

    Raises:
        MelovError: Ray is not installed, no cluster answers, it has no room for one worker.
    """

    def __init__(self, workers: Workers, config: ExtractConfig) -> None:
        self._ray = require("ray", "ray", "--workers ray")
        self.threads = threads_said() or 1
        self._owns = self._connect(workers.address)
        self._actors: dict[str, Any] = {}
        self._calls: dict[Any, tuple[str, bool]] = {}  # a call's reference -> worker, is it `begin`
        self._assignment: Any = None
        self._quiet = 0
        self._names = 0
        try:
            self._hire_all(workers, config)
        except BaseException:
            self.close()
            raise

    @property
    def devices(self) -> dict[str, str]:
        """The device of each worker by its name, of those that were replaced, too."""
        return {str(number + 1): self._device for number in range(self._names)}

    def dtype(self, said: str) -> str:
        """The precision of the forward passes; `auto` is the first actor's to decide."""
        if said != "auto":
            return said
        first = next(iter(self._actors.values()))
        try:
            found: str = self._ray.get(first.dtype.remote(self._device, said))
        except self._ray.exceptions.RayActorError as error:
            raise MelovError(f"a worker of the Ray cluster ended: {reason(error)}", _MEND) from None
        return found

    def assign(self, assignment: Assignment) -> None:
        """Let all workers, and those that are hired later, open the encoder."""
        self._assignment = self._ray.put(assignment)
        for name in self._actors:
            self._begin(name)

    def order(self, name: str, unit: WorkUnit) -> None:
        """Give a worker a unit; where it is no more, `hear` tells."""
        self._calls[self._actors[name].do.remote(unit)] = name, False

    def hear(self) -> list[tuple[str, Said]]:
        """What workers said since; waits for it for a second."""
        calls = list(self._calls)
        self._ray.wait(calls, num_returns=1, timeout=_SECONDS)
        ended, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        found = []
        for call in ended:
            if call in self._calls:  # not of an actor that another call has just told to be gone
                found += self._heard(call)
        self._complain(bool(found))
        return found

    def replace(self, name: str) -> None:
        """Hire another worker for one that is gone, on whichever node has room."""
        self._hire()

    def close(self) -> None:
        """End all workers at once: what they have not finished is nowhere."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._calls:  # until they are told to be lost, their units may still be written
            self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=_LAST_SECONDS)
        self._actors.clear()
        self._calls.clear()
        if self._owns:
            self._ray.shutdown()
            self._owns = False

    def _connect(self, address: str | None) -> bool:
        """Whether the connection is ours to end."""
        if self._ray.is_initialized():
            return False
        # Of a cluster that is started here, Ray would report its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # An actor without a GPU is told that its device is the CPU; Ray need hide nothing from it.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            _require_answer(address)
            self._ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR,
                include_dashboard=None if address else False,
            )  # fmt: skip
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            raise MelovError(
                f"no Ray cluster at {address or 'the usual places'}: {reason(error)}",
                "start one (ray start --head), or name it: --address HOST:PORT",
            ) from None
        return True

    def _hire_all(self, workers: Workers, config: ExtractConfig) -> None:
        has = self._ray.cluster_resources()
        gpus = workers.gpus
        if gpus is None:
            gpus = 1.0 if has.get("GPU", 0) and config.device in ("auto", "cuda") else 0.0
        self._device = ("cuda" if gpus else "cpu") if config.device == "auto" else config.device
        count = int(has.get("CPU", 0) // self.threads)
        if gpus:
            count = min(count, int(has.get("GPU", 0) / gpus + 1e-9))
        if count < 1:
            raise MelovError(
                f"the Ray cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs, "
                f"and a worker takes {self.threads} and {gpus:g}",
                "--gpus-per-worker 0 for the CPU; OMP_NUM_THREADS=1 for workers of one thread",
            )
        self._kind = self._ray.remote(
            num_cpus=self.threads, num_gpus=gpus, max_concurrency=AHEAD + 2, max_restarts=0
        )(RayWorker)
        for _ in range(count):
            self._hire()

    def _hire(self) -> None:
        self._names += 1
        name = str(self._names)
        self._actors[name] = self._kind.remote()
        if self._assignment is not None:
            self._begin(name)

    def _begin(self, name: str) -> None:
        begun = self._actors[name].begin.remote(self._assignment, self._device, self.threads)
        self._calls[begun] = name, True

    def _heard(self, call: Any) -> list[tuple[str, Said]]:
        name, begins = self._calls.pop(call)
        try:
            said = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._dismiss(name)
            return [(name, Gone(reason(error)))]
        if isinstance(said, Failed) or not begins:
            return [(name, said)]
        return [(name, Up(said)), (name, Ready())]

    def _dismiss(self, name: str) -> None:
        self._ray.kill(self._actors.pop(name))  # it may only be out of reach
        for call in [call for call, (of, _) in self._calls.items() if of == name]:
            del self._calls[call]

    def _complain(self, heard: bool) -> None:
        self._quiet = 0 if heard else self._quiet + 1
        if self._quiet == _PATIENCE and all(begins for _, begins in self._calls.values()):
            log.warning("no worker has begun yet: does the Ray cluster have room for one?")


def _require_answer(address: str | None) -> None:
    """Ray itself tries for minutes before it says that nobody answers.

    Raises:
        OSError: nobody does at HOST:PORT.
    """
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _LAST_SECONDS).close()


_MEND = "the same command resumes; melov-cache is to be installed on every node"


class RayWorker:
    """An actor. Its methods are called by several threads at once."""

    def __init__(self) -> None:
        self._orders = _Queued()
        self._lock = threading.Lock()
        self._told: dict[WorkUnit, Future[Said]] = {}
        self._begun: Future[str | Failed] = Future()
        self._failed: Failed | None = None

    def dtype(self, device: str, said: str) -> str:
        """The precision that `said` means on a device of this node."""
        return resolve_dtype(said, resolve_device(device))

    def begin(self, assignment: Assignment, device: str, threads: int) -> str | Failed:
        """Open the encoder; returns when it is open, with the process for who looks for it."""
        arguments = (assignment, device, threads, self._orders, self._say)
        threading.Thread(target=work_on, args=arguments, daemon=True).start()
        return self._begun.result()

    def do(self, unit: WorkUnit) -> Said:
        """Have a unit done; returns when it is on the disk."""
        with self._lock:
            if self._failed is not None:
                return self._failed
            told = self._told[unit] = Future()
        self._orders.put(unit)
        return told.result()

    def _say(self, said: Said) -> None:
        with self._lock:
            if isinstance(said, Done):
                self._told.pop(said.unit).set_result(said)
            elif isinstance(said, Ready):
                self._begun.set_result(here())
            elif isinstance(said, Failed):
                self._failed = said
                for told in self._told.values():
                    told.set_result(said)
                if not self._begun.done():
                    self._begun.set_result(said)


class _Queued:
    """Orders that come by calls of the actor; they end with it."""

    def __init__(self) -> None:
        self._units: queue.SimpleQueue[WorkUnit] = queue.SimpleQueue()

    def put(self, unit: WorkUnit) -> None:
        self._units.put(unit)

    def wait(self) -> WorkUnit | None:
        return self._units.get()

    def more(self) -> WorkUnit | None:
        try:
            return self._units.get_nowait()
        except queue.Empty:
            return None
