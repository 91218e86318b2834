"""The workers that `--workers` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cache.errors import MelovError
from stages.config import ExtractConfig
from stages.device import resolve_device
from stages.encode.ways import Workers, threads_said
from stages.encode.workers.lead import Team
from stages.encode.workers.local import LocalTeam


@contextmanager
def hired(workers: Workers | None, config: ExtractConfig) -> Iterator[Team | None]:
    """The team, for as long as the block runs; None for None.

    Raises:
        MelovError: no GPU, no cluster, or no room in it; Ray is not installed.
    """
    if workers is None:
        yield None
        return
    team = _team(workers, config)
    try:
        yield team
    finally:
        team.close()


def _team(workers: Workers, config: ExtractConfig) -> Team:
    if workers.said == "ray":
        from stages.encode.workers.on_ray import RayTeam

        return RayTeam(workers, config)
    devices = devices_of(workers, config)
    return LocalTeam(devices, threads_each(len(devices)))


def devices_of(workers: Workers, config: ExtractConfig) -> list[str]:
    """The device of each local worker.

    Raises:
        MelovError: the device cannot be used; `cuda` without a GPU, or with another device said.
    """
    if workers.said != "cuda":
        return [str(resolve_device(config.device))] * int(workers.said)
    if config.device not in ("auto", "cuda"):
        raise MelovError(
            f"extract.device is {config.device}, and --workers cuda takes one worker a GPU",
            "--workers N for processes on that device, or --set extract.device=auto",
        )
    count = torch.cuda.device_count()
    if not count:
        raise MelovError(
            "--workers cuda: torch finds no GPU on this machine", "--workers N for the CPU"
        )
    return [f"cuda:{number}" for number in range(count)]


def threads_each(workers: int) -> int:
    """Threads of each worker of this machine: as OMP_NUM_THREADS says, else its share of those that
    one process would take."""
    return threads_said() or max(1, torch.get_num_threads() // workers)
