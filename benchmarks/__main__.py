"""Each benchmark runs ours and its peers in turn, several rounds, and prints median ratios.

python -m benchmarks [--rounds 7] [--output benchmarks.json]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.gather import BATCH, SHAPE, check_equal, make_peers


@click.command(help="Side-by-side timings of the feature store's reader and its peers.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=3))
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures as JSON.")
def main(rounds: int, output: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        peers = make_peers(Path(folder))
        check_equal(peers)
        seconds: dict[str, list[float]] = {name: [] for name in peers}
        rng = np.random.default_rng(2)
        for _ in range(rounds):
            rows = rng.integers(0, SHAPE[0], BATCH)
            for name, gather in peers.items():
                begun = time.perf_counter()
                gather(rows)
                seconds[name].append(time.perf_counter() - begun)
    megabytes = BATCH * SHAPE[1] * SHAPE[2] * 2 / 1e6
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    click.echo(f"gather {BATCH} random rows of {SHAPE} float16; {machine}; {rounds} rounds")
    figures = {}
    for name, times in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(times, seconds["ours"], strict=True)]
        figures[name] = {
            "median_mb_per_second": megabytes / statistics.median(times),
            "time_over_ours_median": statistics.median(ratios),
            "time_over_ours_min": min(ratios),
            "time_over_ours_max": max(ratios),
        }
        f = figures[name]
        click.echo(
            f"{name:18} {f['median_mb_per_second']:8.0f} MB/s   time / ours: "
            f"{f['time_over_ours_median']:.2f} "
            f"({f['time_over_ours_min']:.2f} to {f['time_over_ours_max']:.2f})"
        )
    if output is not None:
        output.write_text(json.dumps({"machine": machine, "gather": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
