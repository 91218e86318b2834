"""Side-by-side timings of ours and its peers, step by step.

python -m benchmarks                      every benchmark at a quick size
python -m benchmarks --full --output benchmarks.json
python -m benchmarks gather graph         some of them
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine

NAMES = (
    "audit",
    "gather",
    "extract",
    "graph",
    "training",
    "profile",
    "further",
    "ranking",
    "link",
    "ablation",
)
BY_NAME = ("gpu", "workers")
"""Run by name alone."""


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(NAMES + BY_NAME))
@click.option("--full", is_flag=True, help="WikiMEL's size instead of a quick one.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=3))
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures as JSON.")
@click.option("--one", type=click.Path(path_type=Path), hidden=True)
def main(
    names: tuple[str, ...], full: bool, rounds: int, output: Path | None, one: Path | None
) -> None:
    if one is not None:
        module = importlib.import_module(f"benchmarks.{names[0]}")
        one.write_text(json.dumps(module.run(full, rounds).as_json()))
        return
    about = machine()
    click.echo(json.dumps(about))
    found: dict[str, Any] = {"machine": about, "full": full, "rounds": rounds, "results": {}}
    failed = []
    for name in names or NAMES:
        result = _in_a_process_of_its_own(name, full, rounds)
        if result is None:
            failed.append(name)
            continue
        found["results"][name] = result
        show(result)
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _in_a_process_of_its_own(name: str, full: bool, rounds: int) -> dict[str, Any] | None:
    """So that no benchmark's memory is another's, and a failure stops only itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks", name, "--rounds", str(rounds)]
        command += ["--one", str(path), *(["--full"] if full else [])]
        if subprocess.run(command, check=False).returncode:
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def show(result: dict[str, Any]) -> None:
    click.echo(f"\n{result['name']}: {result['what']}")
    for t in result["timings"]:
        click.echo(
            f"  {t['name']:34} {t['seconds']:10.4f} s   time / ours: "
            f"{t['ratio']:7.2f} ({t['ratio_min']:.2f} to {t['ratio_max']:.2f})"
        )
    for mark in result["marks"]:
        word = "met   " if mark["met"] else "MISSED"
        click.echo(f"  {word} {mark['what']}: {mark['found']} ({mark['goal']})")
    for note in result["notes"]:
        click.echo(f"  {note}")


if __name__ == "__main__":
    main()
