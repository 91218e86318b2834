"""The folder of one run, and every file that stands in it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cache.files import atomic_path
from stages.paths import Below, DatasetPaths


@dataclass(frozen=True)
class RunFolder:
    """Args:
    command: trains the run; for messages.
    """

    path: Path
    command: str

    config = Below("config.json")
    """What the run was made from; training writes it last."""
    weights = Below("model.safetensors")
    """Of the best epoch."""
    history = Below("history.csv")
    """A row an epoch."""
    curves = Below("history.png")
    timings = Below("timings.json")
    """Seconds an epoch; nothing depends on it."""
    metrics = Below("metrics.json")
    """By part of the mentions; the evaluation writes it last."""
    ranks = Below("ranks.npz")
    """Of the gold entities, by split."""
    nearness = Below("nearness.json")
    """Of repaired pictures to clean ones, which a test bed alone knows."""

    @classmethod
    def of(cls, paths: DatasetPaths, variant: str, seed: int) -> Self:
        run = f"--dataset {paths.dataset} --variant {variant} --seed {seed}"
        return cls(paths.run(variant, seed), f"python -m pipeline.train {run}")

    @property
    def work(self) -> Path:
        """Unfinished training; DVC, which declares files of the run alone, never deletes it."""
        return self.path.parent / ".partial" / self.path.name

    @property
    def identity(self) -> str:
        """Hash of the weights and the configuration (hex, 128 bits)."""
        state = hashlib.blake2b(digest_size=16)
        for path in (self.config, self.weights):
            state.update(path.read_bytes())
        return state.hexdigest()

    def forget_results(self) -> None:
        """Remove what says that the run is whole, before its files are replaced."""
        for path in (self.metrics, self.ranks, self.config):
            path.unlink(missing_ok=True)

    def finished_metrics(self) -> dict[str, Any] | None:
        """`metrics.json`, None where there is none that can be read."""
        try:
            metrics: dict[str, Any] = json.loads(self.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return metrics

    def copy_from(self, other: RunFolder, metrics: dict[str, Any]) -> None:
        """Take a finished run's files over, with `metrics` in the place of its own."""
        self.forget_results()
        for name in ("weights", "config", "history", "ranks"):
            with atomic_path(getattr(self, name)) as path:
                shutil.copyfile(getattr(other, name), path)
        write_json(self.metrics, metrics)


def write_json(path: Path, content: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
