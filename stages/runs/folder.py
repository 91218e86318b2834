"""The folder of one run, and every file that stands in it."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cache.errors import MelovError
from cache.files import atomic_path, replacing_files
from cache.sealed import Sealed, write_sealed
from stages.paths import Below, DatasetPaths

log = logging.getLogger(__name__)

MADE_FROM = "made_from"
"""Key of `metrics.json`: the run's seal and what names the data."""
METRICS = "metrics.json"
TABLES = "tables.json"
"""In a grid's folder: vouches for its tables, and has each run's MADE_FROM."""


@dataclass(frozen=True)
class RunFolder:
    """Args:
    command: trains the run; for messages.
    lock: held while the run's files are replaced; None where the caller holds one.
    """

    path: Path
    command: str
    lock: Path | None = None

    config = Below("config.json")
    """What the run was made from. It vouches for weights and history, and comes last of them."""
    weights = Below("model.safetensors")
    """Of the best epoch."""
    history = Below("history.csv")
    """A row an epoch."""
    curves = Below("history.png")
    timings = Below("timings.json")
    """Seconds an epoch; nothing depends on it."""
    metrics = Below(METRICS)
    """By part of the mentions, and what they were made from. It vouches for the ranks."""
    ranks = Below("ranks.npz")
    """Of the gold entities, by split."""
    nearness = Below("nearness.json")
    """Of repaired pictures to clean ones, which a test bed alone knows."""

    @classmethod
    def of(cls, paths: DatasetPaths, variant: str, seed: int) -> Self:
        run = f"--dataset {paths.dataset} --variant {variant} --seed {seed}"
        lock = paths.lock(f"run-{variant}-s{seed}")
        return cls(paths.run(variant, seed), f"python -m pipeline.train {run}", lock)

    @property
    def work(self) -> Path:
        """Unfinished training; DVC, which declares files of the run alone, never deletes it."""
        return self.path.parent / ".partial" / self.path.name

    @property
    def evaluation(self) -> str:
        """The command that ranks with the run."""
        return self.command.replace("pipeline.train", "pipeline.evaluate")

    def read_config(self) -> Sealed:
        """`config.json`; its seal names the run by all that it is: settings, weights, course.

        Raises:
            MelovError: there is no trained run, or one of an older version.
            DamagedError: it is not as it was written.
        """
        try:
            return Sealed.read(self.config, f"run {self.command}")
        except OSError:
            raise MelovError(f"{self.path}: no trained run", f"run {self.command}") from None

    def read_metrics(self) -> Sealed:
        """`metrics.json` of the very weights that are here.

        Raises:
            FileNotFoundError: there are none.
            MelovError: no trained run, or metrics of other weights.
            DamagedError: one of the two files is not as it was written.
        """
        sealed = Sealed.read(self.metrics, f"run {self.evaluation}")
        if sealed.content.get(MADE_FROM, {}).get("run") != self.read_config().seal:
            raise MelovError(
                f"{self.metrics}: of other weights than {self.weights.name} beside it",
                f"run {self.evaluation}",
            )
        return sealed

    def finished_metrics(self) -> dict[str, Any] | None:
        """The content of `metrics.json` where every file of the run is whole and belongs to the
        others; None else."""
        try:
            metrics, config = self.read_metrics(), self.read_config()
            for sealed in (metrics, config):
                for name in sealed.files:
                    sealed.require(name)
        except FileNotFoundError:
            return None
        except MelovError as error:
            if self.config.exists():
                log.info("%s\n  the run is made again", error.message)
            return None
        return metrics.content

    def forget_results(self) -> None:
        """Remove metrics and ranks that are not of the weights that are here."""
        try:
            self.read_metrics()
        except (FileNotFoundError, MelovError):
            for path in (self.metrics, self.ranks):
                path.unlink(missing_ok=True)

    def copy_from(self, other: RunFolder, metrics: dict[str, Any]) -> None:
        """Take a finished run's files over, with `metrics` in the place of its own."""
        with replacing_files(self.path, last=self.config.name) as scratch:
            for name in (*other.read_config().files, other.config.name):
                shutil.copyfile(other.path / name, scratch / name)
        self.write_results(other.ranks.read_bytes(), metrics)

    def write_results(self, ranks: bytes, metrics: dict[str, Any]) -> None:
        """Put `ranks.npz` and `metrics.json` in the place of older ones, together."""
        with replacing_files(self.path, last=self.metrics.name) as scratch:
            (scratch / self.ranks.name).write_bytes(ranks)
            beside = [scratch / self.ranks.name]
            write_sealed(scratch / self.metrics.name, metrics, beside, atomic=False)


def write_json(path: Path, content: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
