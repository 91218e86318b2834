"""Trains and evaluates a grid in one process over one opened data set.

A finished run is not repeated, nor one that another grid of the data set has finished; a killed one
resumes after its last epoch.
"""

import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.ablation.grid import Grid, GridRun
from stages.config import EvaluateConfig
from stages.paths import DatasetPaths
from stages.ranking.metrics import METRICS
from stages.runs.dataset import Dataset
from stages.runs.fit import execute
from stages.runs.folder import RunFolder
from stages.training.checkpoint import run_digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A run of one seed, the content of its metrics.json, and its ranks of the test mentions."""

    run: GridRun
    seed: int
    metrics: dict[str, Any]
    ranks: np.ndarray


def grid_folder(paths: DatasetPaths, grid: Grid) -> Path:
    """Where a grid's runs and its tables lie."""
    return paths.root / "ablations" / paths.dataset / grid.name


def ablate(paths: DatasetPaths, grid: Grid, config: EvaluateConfig) -> list[Outcome]:
    """Every run of the grid for every seed, in the order of the grid.

    Raises:
        MelovError: a data set that is not ready, or settings that do not go together; before any
            run is trained where that can be known.
    """
    dataset = Dataset.open(paths)
    folder = grid_folder(paths, grid)
    command = f"python -m pipeline.ablate --dataset {paths.dataset} --grid FILE of {grid.name}"
    jobs = [_Job(dataset, run, seed, folder, command) for run in grid.runs for seed in grid.seeds]
    found = []
    for number, job in enumerate(jobs, 1):
        begun = time.perf_counter()
        metrics, done = job.finished_in(job.folder), "finished already"
        if metrics is None:
            metrics, done = job.borrowed(), "finished by another grid"
        if metrics is None:
            metrics = execute(job.spec, job.dataset, job.folder, config, job.about)
            done = f"{time.perf_counter() - begun:.1f} s"
        ranks = np.load(job.folder.ranks)["test"]
        found.append(Outcome(job.run, job.spec.seed, metrics, ranks))
        name, mrr = job.folder.path.name, metrics["test"]["mrr"]
        log.info("[%d/%d] %s  test MRR %.4f  (%s)", number, len(jobs), name, mrr, done)
    with contextlib.suppress(OSError):
        (folder / ".partial").rmdir()
    return found


class _Job:
    """One run of one seed.

    Raises:
        MelovError: the settings do not go together, such as a τ that starts below the graph's
            floor.
    """

    def __init__(
        self, dataset: Dataset, run: GridRun, seed: int, folder: Path, command: str
    ) -> None:
        self.folder = RunFolder(folder / f"{run.name}-s{seed}", command)
        self.dataset = dataset.on(run.graph)
        self.run, self.spec = run, self.dataset.settled(run.spec(seed))
        heads = self.dataset.heads(self.spec)
        made_from = self.dataset.training_provenance(heads)
        self.about = {
            "run": run.name,
            "digest": run_digest(heads, self.spec.train, seed, made_from),
            "graph": run.graph.model_dump(mode="json"),
        }

    def borrowed(self) -> dict[str, Any] | None:
        """The metrics of this very run if another grid has finished it, whose files are copied."""
        for other in sorted(self.folder.path.parent.parent.glob(f"*/*-s{self.spec.seed}")):
            folder = RunFolder(other, self.folder.command)
            metrics = self.finished_in(folder)
            if metrics is not None:
                metrics["run"] = self.run.name
                self.folder.copy_from(folder, metrics)
                return metrics
        return None

    def finished_in(self, folder: RunFolder) -> dict[str, Any] | None:
        """The metrics of this very run, if an earlier process has finished it in `folder`."""
        metrics = folder.finished_metrics()
        if metrics is None or metrics.get("digest") != self.about["digest"]:
            return None
        return metrics if METRICS.keys() <= metrics["test"].keys() else None
