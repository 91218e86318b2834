"""The folder of one run, and every file that stands in it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cache.errors import DamagedError, MelovError
from cache.files import atomic_path, replacing_files
from cache.sealed import Sealed, write_sealed
from stages.paths import Below, DatasetPaths

log = logging.getLogger(__name__)

MADE_FROM = "made_from"
"""Key of `metrics.json`: the run's seal and what names the data."""
PROBABILITY = "probability"
"""Key of `metrics.json`: the calibration, and what answers that may be none are worth."""
UNCALIBRATED = "uncalibrated"
"""Key in its place there: why no probability is known."""
BEFORE = "before_reranking"
"""Key of `metrics.json`: the metrics without re-ranking, by part, of a run that re-ranks."""
RANKED = ("valid", "test")
"""Splits that an evaluation ranks."""
METRICS = "metrics.json"
TABLES = "tables.json"
"""In a grid's folder: vouches for its tables, and has each run's MADE_FROM."""


@dataclass(frozen=True)
class RunFolder:
    """Args:
    command: trains the run; for messages.
    lock: held while the run's files are replaced; None where the caller holds one.
    named: the variant and the seed that the folder's name tells of; None where it tells none.
    """

    path: Path
    command: str
    lock: Path | None = None
    named: tuple[str, int] | None = None

    config = Below("config.json")
    """What the run was made from. It vouches for weights, training mentions and history,
    and comes last of them."""
    weights = Below("model.safetensors")
    """Of the best epoch."""
    training = Below("training.npz")
    """The training mentions that its GCN reads; none without a GCN."""
    history = Below("history.csv")
    """A row an epoch."""
    curves = Below("history.png")
    timings = Below("timings.json")
    """Seconds an epoch; nothing depends on it."""
    metrics = Below(METRICS)
    """By part of the mentions, the calibration, and what all was made from. It vouches for ranks,
    probabilities and predictions."""
    ranks = Below("ranks.npz")
    """Of the gold entities, by split."""
    probabilities = Below("probabilities.npz")
    """Of the best entities, by split; nothing where no calibration is known."""
    predictions = Below("predictions.csv")
    """The best entities of each mention; of the project's own parts the report alone reads it."""
    nearness = Below("nearness.json")
    """Of repaired pictures to clean ones, which a test bed alone knows."""

    @classmethod
    def of(cls, paths: DatasetPaths, variant: str, seed: int) -> Self:
        run = f"--dataset {paths.dataset} --variant {variant} --seed {seed}"
        lock = paths.lock(f"run-{variant}-s{seed}")
        path, command = paths.run(variant, seed), f"python -m pipeline.train {run}"
        return cls(path, command, lock, (variant, seed))

    @property
    def work(self) -> Path:
        """Unfinished training; DVC, which declares files of the run alone, never deletes it."""
        return self.path.parent / ".partial" / self.path.name

    @property
    def evaluation(self) -> str:
        """The command that ranks with the run."""
        return self.command.replace("pipeline.train", "pipeline.evaluate")

    @property
    def is_trained(self) -> bool:
        """Whether anything of a trained run is here; it may be damaged."""
        return self.config.exists() or self.weights.exists()

    @property
    def is_evaluated(self) -> bool:
        """Whether anything of an evaluation is here; it may be damaged."""
        return any(path.exists() for path in (*self._beside_metrics, self.metrics))

    @property
    def _beside_metrics(self) -> tuple[Path, ...]:
        """What the metrics vouch for."""
        return self.ranks, self.probabilities, self.predictions

    def read_config(self) -> Sealed:
        """`config.json`; its seal names the run by all that it is: settings, weights, course.

        Raises:
            MelovError: there is no trained run, or that of another variant or seed.
            DamagedError: it is not as it was written, or gone from beside the weights.
        """
        again = f"run {self.command}"
        try:
            sealed = Sealed.read(self.config, again)
        except OSError:
            if self.is_trained:
                said = f"{self.config}: missing beside {self.weights.name}"
                raise DamagedError(said, again) from None
            raise MelovError(f"{self.path}: no trained run", again) from None
        if self.named is not None:
            heads = sealed.content.get("heads")
            variant = heads.get("variant") if isinstance(heads, dict) else None
            held = variant, sealed.content.get("seed")
            if held != self.named:
                raise MelovError(f"{self.path}: holds the run {held[0]}-s{held[1]}", again)
        return sealed

    def read_metrics(self) -> Sealed:
        """`metrics.json` of the very weights that are here.

        Raises:
            FileNotFoundError: there are none.
            MelovError: no trained run, or metrics of other weights.
            DamagedError: a file is not as it was written, or gone from beside the ranks.
        """
        again = f"run {self.evaluation}"
        try:
            sealed = Sealed.read(self.metrics, again)
        except FileNotFoundError:
            beside = [path.name for path in self._beside_metrics if path.exists()]
            if not beside:
                raise
            said = f"{self.metrics}: missing beside {beside[0]}"
            raise DamagedError(said, again) from None
        made_from = sealed.content.get(MADE_FROM)
        if not isinstance(made_from, dict) or made_from.get("run") != self.read_config().seal:
            raise MelovError(
                f"{self.metrics}: of other weights than {self.weights.name} beside it", again
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
        """Remove the files of an evaluation that are not of the weights that are here."""
        try:
            self.read_metrics()
        except (FileNotFoundError, MelovError):
            # Ranks alone would pass for damage.
            for path in (*self._beside_metrics, self.metrics):
                path.unlink(missing_ok=True)

    def copy_from(self, other: RunFolder, metrics: dict[str, Any]) -> None:
        """Take a finished run's files over, with `metrics` in the place of its own."""
        with replacing_files(self.path, last=self.config.name) as scratch:
            for name in (*other.read_config().files, other.config.name):
                shutil.copyfile(other.path / name, scratch / name)
        names = sorted(other.read_metrics().files)
        self.write_results({name: (other.path / name).read_bytes() for name in names}, metrics)

    def write_results(self, files: Mapping[str, bytes], metrics: dict[str, Any]) -> None:
        """Put `metrics.json` and the `files` that it vouches for in the place of older ones,
        together."""
        with replacing_files(self.path, last=self.metrics.name) as scratch:
            for name, data in files.items():
                (scratch / name).write_bytes(data)
            beside = [scratch / name for name in files]
            write_sealed(scratch / self.metrics.name, metrics, beside, atomic=False)


def write_json(path: Path, content: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
