"""Load on the service, over the loopback:

python -m benchmarks.load --dataset demo --clients 16 --seconds 60

Starts `pipeline.serve`, asks from so many clients at once for the data set's examples, every other
time with their picture, each client's next request as soon as its last one is answered; then kills
the service (SIGKILL) and times how long it takes to be up, and to link, again. Prints a table.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

PATIENCE = 120.0
SAMPLED = 5.0
"""Seconds between two looks at the memory."""


@dataclass
class Load:
    """What the clients saw. errors: by what was answered; memory: bytes, one a sample."""

    seconds: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Started:
    """A service; up and linked: seconds from its start on."""

    process: subprocess.Popen[str]
    address: str
    up: float
    linked: float


@contextmanager
def started(arguments: Sequence[str], port: int = 0) -> Iterator[Started]:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serve", *arguments, "--port", str(port)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"http://\S+/", said)
        assert address is not None, said
        httpx.get(f"{address[0]}health", timeout=PATIENCE).raise_for_status()
        up = time.perf_counter() - begun
        text = {"text": "a mention", "mentions": [{"start": 2, "end": 9}]}
        httpx.post(f"{address[0]}link", json=text, timeout=PATIENCE).raise_for_status()
        yield Started(process, address[0], up, time.perf_counter() - begun)
    finally:
        process.kill()
        process.wait()


def requests_of(address: str) -> list[dict[str, Any]]:
    """Forms of the data set's examples, every other one with its picture."""
    examples = httpx.get(f"{address}examples", timeout=PATIENCE).json()["examples"]
    assert examples, "the data set has no examples"
    found = []
    for i, example in enumerate(examples):
        data = {name: str(example[name]) for name in ("text", "start", "end")}
        files = {}
        if example["picture"] is not None and i % 2:
            path = f"{address}pictures/mentions/{example['picture']}"
            files = {"image": ("a.jpg", httpx.get(path, timeout=PATIENCE).content, "image/jpeg")}
        found.append({"data": data, "files": files or {"image": ("", b"", "image/jpeg")}})
    return found


async def under_load(service: Started, clients: int, seconds: float) -> Load:
    load, asked = Load(), itertools.cycle(requests_of(service.address))
    until = time.perf_counter() + seconds

    async def one() -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while time.perf_counter() < until:
                begun = time.perf_counter()
                try:
                    answer = await client.post(f"{service.address}link", **next(asked))
                    said = "" if answer.status_code == 200 else str(answer.status_code)
                except httpx.HTTPError as error:
                    said = type(error).__name__
                load.seconds.append(time.perf_counter() - begun)
                if said:
                    load.errors[said] = load.errors.get(said, 0) + 1

    async def watch() -> None:
        while time.perf_counter() < until:
            load.memory.append(resident(service.process.pid))
            await asyncio.sleep(SAMPLED)
        load.memory.append(resident(service.process.pid))

    await asyncio.gather(watch(), *(one() for _ in range(clients)))
    return load


def resident(pid: int) -> int:
    """Bytes of a process that are in memory and its own."""
    status = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_\w+:\s+(\d+) kB$", status, re.M)) * 1024


def table(load: Load, clients: int, seconds: float) -> str:
    """Markdown."""
    ms = np.percentile(np.array(load.seconds) * 1e3, [50, 95, 99])
    errors = ", ".join(f"{n} x {what}" for what, n in load.errors.items()) or "none"
    half = len(load.memory) // 2
    rows = [
        ("clients, seconds", f"{clients}, {seconds:g}"),
        ("answers, a second", f"{len(load.seconds):,}, {len(load.seconds) / seconds:.1f}"),
        ("median, 95th, 99th percentile", " / ".join(f"{value:.0f}" for value in ms) + " ms"),
        ("errors", errors),
        ("private memory every 5 s, MB", ", ".join(f"{m / 1e6:.0f}" for m in load.memory)),
        (
            "its medians, first and second half",
            f"{statistics.median(load.memory[:half]) / 1e6:.0f}, "
            f"{statistics.median(load.memory[half:]) / 1e6:.0f} MB",
        ),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


@click.command(help="Load on the service: rate, latency, errors, memory, time to start again.")
@click.option("--dataset", default="demo", show_default=True)
@click.option("--variant", default="melov", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--clients", default=16, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
def main(dataset: str, variant: str, seed: int, clients: int, seconds: float) -> None:
    arguments = ["--dataset", dataset, "--variant", variant, "--seed", str(seed)]
    with started(arguments) as service:
        load = asyncio.run(under_load(service, clients, seconds))
        port = int(service.address.rsplit(":", 1)[1].strip("/"))
    with started(arguments, port) as again:
        click.echo(table(load, clients, seconds))
        click.echo(
            f"| killed and started again: up, linking | {again.up:.2f} s, {again.linked:.2f} s |"
        )


if __name__ == "__main__":
    main()
