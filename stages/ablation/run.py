"""Trains and evaluates a grid in one process over one opened data set.

A finished run is not repeated, nor one that another grid of the data set has finished; a killed one
goes on after its last epoch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.files import atomic_path
from stages.ablation.grid import Grid, GridRun
from stages.config import EvaluateConfig, GraphConfig
from stages.device import heads_device
from stages.features.inputs import CachedFeatures
from stages.graph.graph import Graph, build_graph
from stages.graph.source import GraphSource
from stages.heads.baselines.build import build_heads
from stages.heads.baselines.names import reads_joint, reads_local
from stages.heads.model import HeadsConfig
from stages.paths import DatasetPaths
from stages.ranking.evaluate import evaluate, write_evaluation, write_metrics
from stages.runs.data import Opened, data_for, open_dataset, read_features
from stages.runs.history import write_history
from stages.runs.saved import RunInfo, save_heads
from stages.training.checkpoint import run_digest
from stages.training.train import forget, heads_config, train

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

    Raises
    ------
    MelovError: a data set that is not ready, or settings that do not go together; before any run
        is trained where that can be known.
    """
    shared = _Shared(paths)
    folder = grid_folder(paths, grid)
    jobs = [_Job(shared, run, seed, folder) for run in grid.runs for seed in grid.seeds]
    found = []
    for number, job in enumerate(jobs, 1):
        begun = time.perf_counter()
        metrics, done = job.finished(), "finished already"
        if metrics is None:
            metrics, done = job.borrowed(), "finished by another grid"
        if metrics is None:
            # The table of an earlier grid of this name no longer says what lies here.
            (folder / "runs.parquet").unlink(missing_ok=True)
            metrics = job.work(config)
            done = f"{time.perf_counter() - begun:.1f} s"
        ranks = np.load(job.folder / "ranks.npz")["test"]
        found.append(Outcome(job.run, job.seed, metrics, ranks))
        mrr = metrics["test"]["mrr"]
        log.info("[%d/%d] %s  test MRR %.4f  (%s)", number, len(jobs), job.folder.name, mrr, done)
    with contextlib.suppress(OSError):
        (folder / ".partial").rmdir()
    return found


class _Shared:
    """What runs have in common, each opened or built once: store, features by units, graphs."""

    def __init__(self, paths: DatasetPaths) -> None:
        self.paths = paths
        self.opened = open_dataset(paths)
        self._graphs = {self.opened.graph.config.digest: self.opened.graph}
        self._cached: dict[tuple[Any, ...], CachedFeatures] = {}

    def features(
        self, units: tuple[str, ...], variant: str, device: torch.device
    ) -> CachedFeatures:
        key = (units, reads_local(variant), reads_joint(variant), device)
        if key not in self._cached:
            store = self.opened.for_variant(variant).store
            self._cached[key] = read_features(store, units, variant, device)
        return self._cached[key]

    def provenance(self, run: GridRun) -> dict[str, str]:
        """What a run, on the graph that it asks for, is made from."""
        opened = self.opened.for_variant(run.variant)
        return {**opened.provenance, "graph": self._settled(run.graph).digest}

    def beside(self, run: GridRun) -> Opened:
        """The data set with the run's graph: the stored one, or one built in memory."""
        graph = self._graph(self._settled(run.graph))
        opened = self.opened.for_variant(run.variant)
        return replace(opened, graph=graph, provenance=self.provenance(run))

    def _settled(self, config: GraphConfig) -> GraphConfig:
        return config.settled(self.opened.graph.train.shape[0])

    def _graph(self, config: GraphConfig) -> Graph:
        key = config.digest
        if key not in self._graphs:
            log.info("building the %s graph in memory", config.metric)
            source = GraphSource.of(self.opened.store)
            self._graphs[key] = build_graph(source.features, source.pictures, config)
        return self._graphs[key]


class _Job:
    """One run of one seed.

    Raises
    ------
    MelovError: the settings do not go together, such as a τ that starts below the graph's floor.
    """

    def __init__(self, shared: _Shared, run: GridRun, seed: int, folder: Path) -> None:
        self.shared, self.run, self.seed = shared, run, seed
        self.folder = folder / f"{run.name}-s{seed}"
        device = heads_device(run.train.device)
        self.cached = shared.features(run.train.units, run.variant, device)
        self.heads: HeadsConfig = heads_config(self.cached, run.train, run.variant, run.graph.floor)
        self.digest = run_digest(
            heads=asdict(self.heads),
            train=run.train.model_dump(),
            seed=seed,
            made_from=shared.provenance(run),
        )

    def finished(self) -> dict[str, Any] | None:
        """The metrics of this very run, if an earlier process has finished it."""
        return self._finished_in(self.folder)

    def borrowed(self) -> dict[str, Any] | None:
        """The metrics of this very run if another grid has finished it, whose files are copied."""
        for other in sorted(self.folder.parent.parent.glob(f"*/*-s{self.seed}")):
            metrics = self._finished_in(other)
            if metrics is None:
                continue
            (self.folder / "metrics.json").unlink(missing_ok=True)  # of other settings
            for name in ("model.safetensors", "config.json", "history.csv", "ranks.npz"):
                with atomic_path(self.folder / name) as path:
                    shutil.copyfile(other / name, path)
            metrics["run"] = self.run.name
            write_metrics(self.folder, metrics)
            return metrics
        return None

    def _finished_in(self, folder: Path) -> dict[str, Any] | None:
        try:
            metrics: dict[str, Any] = json.loads(
                (folder / "metrics.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return None
        return metrics if metrics.get("digest") == self.digest else None

    def work(self, config: EvaluateConfig) -> dict[str, Any]:
        """Train, evaluate, write the run's files, metrics.json last."""
        run, opened = self.run, self.shared.beside(self.run)
        (self.folder / "metrics.json").unlink(missing_ok=True)  # of other settings
        data = data_for(
            opened, self.cached, self.heads, run.train.neighbor_limit, run.train.filter_quantile
        )
        work = self.folder.parent / ".partial" / self.folder.name
        trained = train(data, self.heads, run.train, config, self.seed, work)
        write_history(self.folder, trained.history)
        settings = run.train.model_dump(mode="json")
        dataset = self.shared.paths.dataset
        info = RunInfo(dataset, self.seed, self.heads, settings, opened.provenance)
        save_heads(self.folder, trained.state, info)
        model = build_heads(self.heads).to(self.cached.device)
        model.load_state_dict(trained.state)
        found, ranks = evaluate(model, data.inputs, data.views, opened.records, config)
        about = {
            "dataset": dataset,
            "variant": run.variant,
            "seed": self.seed,
            "run": run.name,
            "digest": self.digest,
            "graph": run.graph.model_dump(mode="json"),
        }
        write_evaluation(self.folder, about, found, ranks)
        forget(work)
        return {**about, **found}
