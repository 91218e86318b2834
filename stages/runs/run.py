"""A run: heads of one variant and seed, trained on one data set, in a folder.

run = execute(RunSpec.of("melov", 0, params.train), dataset, folder, params.evaluate)
run = Run.open(folder, device)
metrics, ranks = run.evaluate(dataset, params.evaluate)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cache.errors import MelovError
from cache.files import atomic_path
from cache.fingerprint import Fingerprint
from stages.config import EvaluateConfig, TrainConfig
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.heads.settings import HeadsConfig
from stages.heads.variants import VARIANTS
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.evaluation import evaluate
from stages.runs.folder import RunFolder, write_json
from stages.runs.history import write_history
from stages.section import Section
from stages.training.train import Trained, train


class RunInfo(Section):
    """`config.json`: what a run was made from.

    provenance: digests of the store, the records and the graph.
    """

    dataset: str
    seed: int
    heads: HeadsConfig
    train: TrainConfig
    provenance: dict[str, str]


@dataclass(frozen=True)
class Run:
    """A trained run, its heads in evaluation mode."""

    folder: RunFolder
    info: RunInfo
    model: Heads[Any, Any]
    device: torch.device

    @classmethod
    def open(cls, folder: RunFolder, device: torch.device) -> Run:
        """Read a run's configuration and weights.

        Raises:
            MelovError: no such run, a damaged one, or one of another version of this program.
        """
        try:
            info = RunInfo.model_validate_json(folder.config.read_bytes())
            model = VARIANTS[info.heads.variant].build(info.heads)
            model.load_state_dict(load_file(folder.weights))
        except FileNotFoundError:
            raise MelovError(f"{folder.path}: no trained run", f"run {folder.command}") from None
        except (ValueError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise MelovError(
                f"{folder.path}: the heads do not fit this version, or are damaged: {said}",
                f"run {folder.command}",
            ) from None
        return cls(folder, info, model.to(device).eval(), device)

    def require(self, dataset: Dataset) -> None:
        """Raises MelovError if the run was trained on another store or graph than the data set's;
        the differences are named."""
        present = dataset.provenance(self.info.heads.variant)
        if self.info.provenance != present:
            found = Fingerprint(self.info.provenance).differences(Fingerprint(present))
            raise MelovError(
                f"{self.folder.path}: trained on other data: {'; '.join(found)}",
                f"run {self.folder.command}",
            )

    def data(self, dataset: Dataset) -> LinkingData:
        """What the run ranks; raises as `require` does."""
        self.require(dataset)
        return dataset.data(self.info.heads, self.info.train, self.device)

    def evaluate(
        self, dataset: Dataset, config: EvaluateConfig, about: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Rank validation and test, write `ranks.npz` and `metrics.json`; returns the latter.

        Args:
            about: goes into `metrics.json` besides data set, variant and seed.
        """
        found, ranks = evaluate(self.model, self.data(dataset), dataset.records, config)
        info = self.info
        named = {"dataset": info.dataset, "variant": info.heads.variant, "seed": info.seed}
        content = {**named, **(about or {}), **found}
        with atomic_path(self.folder.ranks) as path, path.open("wb") as file:
            np.savez(file, valid=ranks["valid"].astype("f4"), test=ranks["test"].astype("f4"))
        write_json(self.folder.metrics, content)
        return content


def execute(
    spec: RunSpec, dataset: Dataset, folder: RunFolder, config: EvaluateConfig,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train, save and evaluate a run; returns the content of its `metrics.json`, `about` included.

    Raises:
        MelovError: see `Dataset.heads` and `train`.
    """
    run, _ = fit(spec, dataset, folder, config)
    return run.evaluate(dataset, config, about)


def fit(
    spec: RunSpec, dataset: Dataset, folder: RunFolder, config: EvaluateConfig,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[Run, Trained]:  # fmt: skip
    """Train a run and save it, resuming where a kill left it.

    `config.json` comes last, so its presence means a complete run.
    """
    heads = dataset.heads(spec)
    data = dataset.data(heads, spec.train, spec.device)
    trained = train(data, heads, spec.train, config, spec.seed, folder.work, on_epoch)
    folder.forget_results()
    write_history(folder.history, trained.history)
    write_json(folder.timings, {"seconds_per_epoch": [round(s, 3) for s in trained.seconds]})
    with atomic_path(folder.weights) as path:
        save_file({n: w.detach().cpu().contiguous() for n, w in trained.state.items()}, path)
    name, made_from = dataset.paths.dataset, data.provenance
    info = RunInfo(
        dataset=name, seed=spec.seed, heads=heads, train=spec.train, provenance=made_from
    )
    write_json(folder.config, info.model_dump(mode="json"))
    shutil.rmtree(folder.work, ignore_errors=True)
    return Run.open(folder, spec.device), trained
