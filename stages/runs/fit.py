"""Trains a run and saves it.

run, trained = fit(RunSpec.of("melov", 0, params.train), dataset, folder, params.evaluate)
metrics = execute(...)      # and evaluates it
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save

from cache.files import replacing_files
from cache.sealed import write_sealed
from stages.config import EvaluateConfig
from stages.features.data import LinkingData
from stages.heads.settings import HeadsConfig
from stages.rerank.reranking import Reranking
from stages.runs.dataset import Dataset, RunSpec, cut_of
from stages.runs.fit_reranking import fit_reranking
from stages.runs.folder import RunFolder, write_json
from stages.runs.history import write_history
from stages.runs.reranking import weights_of
from stages.runs.run import Run, RunInfo
from stages.runs.training_mentions import Similarity, TrainingMentions
from stages.training.group import ALONE, Group
from stages.training.train import Trained, train


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
    draw: Callable[[Path, Trained], None] | None = None, group: Group = ALONE,
) -> tuple[Run, Trained]:  # fmt: skip
    """Train a run and save it, resuming where a kill left it.

    The older run stays until the new one's files move in together, `config.json` last; what it was
    evaluated to goes then.

    Args:
        draw: puts a picture of the course at the path that it is given.
        group: the processes that train it together, of which this is the first one.
    """
    spec, heads, data = _prepared(spec, dataset)
    graph = dataset.graph_config if heads.uses_graph else None
    trained = train(data, heads, spec.train, config, spec.seed, folder.work, on_epoch, group)
    reranking = _reranking(trained, data, heads, spec, dataset, config)
    info = RunInfo(
        dataset=dataset.paths.dataset,
        seed=spec.seed,
        heads=heads,
        train=spec.train,
        provenance=data.provenance,
        encoder=dataset.encoder(heads, graph),
        similarity=Similarity.of(dataset.graph) if heads.uses_graph else None,
        cut=cut_of(heads, spec.train, data.cached),
        rerank=None if reranking is None else reranking.terms,
    )
    with replacing_files(folder.path, last=folder.config.name) as scratch:
        state = trained.state | ({} if reranking is None else weights_of(reranking))
        weights = {n: w.detach().cpu().contiguous() for n, w in state.items()}
        (scratch / folder.weights.name).write_bytes(save(weights))
        write_history(scratch / folder.history.name, trained.history)
        if graph is not None:
            adjacency = data.inputs.graphs["train"].adjacency
            further = {name: dataset.further(name) for name in graph.further}
            training = TrainingMentions.of(adjacency, data.cached.store, dataset.records, further)
            training.save(scratch / folder.training.name)
        if draw is not None:
            draw(scratch / folder.curves.name, trained)
        beside = sorted(scratch.iterdir())
        content = info.model_dump(mode="json")
        write_sealed(scratch / folder.config.name, content, beside, atomic=False)
    folder.forget_results()
    write_json(folder.timings, {"seconds_per_epoch": [round(s, 3) for s in trained.seconds]})
    shutil.rmtree(folder.work, ignore_errors=True)
    return Run.open(folder, spec.device), trained


def take_part(
    spec: RunSpec, dataset: Dataset, folder: RunFolder, config: EvaluateConfig, group: Group
) -> None:
    """What the others of a group do while the first one is in `fit`: they train, and write nothing.

    Raises:
        MelovError: as `fit` does.
    """
    spec, heads, data = _prepared(spec, dataset)
    train(data, heads, spec.train, config, spec.seed, folder.work, group=group)


def _prepared(spec: RunSpec, dataset: Dataset) -> tuple[RunSpec, HeadsConfig, LinkingData]:
    spec = dataset.settled(spec)
    heads = dataset.heads(spec)
    return spec, heads, dataset.data(heads, spec.train, spec.device)


def _reranking(
    trained: Trained, data: LinkingData, heads: HeadsConfig, spec: RunSpec, dataset: Dataset,
    config: EvaluateConfig,
) -> Reranking | None:  # fmt: skip
    """Fitted to what the trained heads rank; None where it is not asked for."""
    if not spec.train.rerank:
        return None
    model = heads.entry.build(heads)
    model.load_state_dict(trained.state)
    return fit_reranking(
        model.to(spec.device), data, dataset.records, config, spec.train.valid_mentions, spec.seed
    )
