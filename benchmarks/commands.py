"""The project's own commands as subprocesses, in a project folder of the benchmark's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.paths import DatasetPaths

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """Seconds of a run's two commands, and of them what they say of training and ranking."""

    wall: float
    work: float

    @property
    def outside(self) -> float:
        """Starting, opening, checking, loading, writing."""
        return self.wall - self.work


@dataclass(frozen=True)
class Commands:
    """Commands on a made data set; what they write goes below `folder`."""

    folder: Path
    paths: DatasetPaths

    def __post_init__(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            data.symlink_to(self.paths.root / "data")

    def run(self, name: str, *options: str) -> tuple[float, str]:
        """Seconds and output of `python -m pipeline.<name>`.

        Raises:
            RuntimeError: the command failed; with its messages.
        """
        command = [sys.executable, "-m", f"pipeline.{name}", "--dataset", self.paths.dataset]
        command += ["--project", str(self.folder), "--params", str(PROJECT / "params.yaml")]
        command += options
        return timed(command, self.folder)

    def train_and_evaluate(self, variant: str, settings: Mapping[str, Any]) -> Cost:
        """One run by two commands, as a person or DVC starts them; settings of `train`."""
        options = ["--variant", variant]
        for key, value in settings.items():
            options += ["--set", f"train.{key}={value}"]
        trained, _ = self.run("train", *options)
        evaluated, output = self.run("evaluate", *options)
        folder = DatasetPaths(self.paths.dataset, self.folder).run(variant, 0)
        epochs = json.loads((folder / "timings.json").read_text())["seconds_per_epoch"]
        ranked = re.search(r"ranked in ([\d.]+) s", output)
        assert ranked is not None, output
        return Cost(trained + evaluated, sum(epochs) + float(ranked[1]))


def timed(command: Sequence[str], folder: Path) -> tuple[float, str]:
    """Seconds and output of a command; raises RuntimeError where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    begun = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return seconds, done.stdout
