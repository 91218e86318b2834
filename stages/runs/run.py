"""A run: heads of one variant and seed, trained on one data set, in a folder.

run = Run.open(folder, device)
metrics = run.evaluate(dataset, params.evaluate)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from cache.errors import DamagedError, MelovError
from cache.fingerprint import Fingerprint
from cache.locks import working
from stages.config import EvaluateConfig, GraphConfig, TrainConfig
from stages.datasets.records import Records
from stages.features.batches import MentionInputs
from stages.features.cached import StoredFeatures
from stages.features.data import LinkingData
from stages.features.relevance import relevant_pictures
from stages.heads.heads import Heads
from stages.heads.settings import HeadsConfig
from stages.heads.variants import VARIANTS
from stages.paths import NIL
from stages.ranking.best import BestScores
from stages.rerank.reranking import Reranking
from stages.runs.beside import rank_yardsticks
from stages.runs.dataset import Dataset, further_read, reading_of
from stages.runs.evaluation import metrics_of
from stages.runs.folder import BEFORE, MADE_FROM, PROBABILITY, RANKED, RunFolder
from stages.runs.predictions import Predicted, predictions_csv
from stages.runs.probability import probabilities
from stages.runs.ranked import Ranked, rank_alone
from stages.runs.reranking import entity_names, said_of, split_weights
from stages.runs.training_graph import TrainingGraph
from stages.runs.training_mentions import Similarity, TrainingMentions
from stages.runs.yardsticks import UNTRAINED
from stages.section import Section

Ranker: TypeAlias = "Callable[[Run, Dataset, LinkingData, EvaluateConfig], Ranked]"


class RunInfo(Section):
    """`config.json`: what a run was made from, and what it can rank.

    provenance: digests of the store, the records and the graph that it was trained on.
    encoder: of the features that its heads read (`encoder_of`).
    similarity: of its GCN's graph; None without one.
    cut: of the variant `filter`: the relevance below which a picture is left out; else None.
    rerank: the terms that its re-ranking reads; None without one.
    """

    dataset: str
    seed: int
    heads: HeadsConfig
    train: TrainConfig
    provenance: dict[str, str]
    encoder: dict[str, Any]
    similarity: Similarity | None
    cut: float | None
    rerank: tuple[str, ...] | None = None

    @property
    def graph(self) -> GraphConfig | None:
        """What its GCN's graph is made with; None without one."""
        return None if self.similarity is None else self.similarity.config

    @property
    def further(self) -> list[str]:
        """The further encoders that it reads: its heads, and its graph."""
        return further_read(self.heads, self.graph)

    def require_parts(self) -> None:
        """Raises ValueError where the heads lack what they rank with, or have another's."""
        parts = {"similarity": self.heads.uses_graph, "cut": self.heads.filters_pictures}
        for name, needed in parts.items():
            if (getattr(self, name) is not None) != needed:
                wanted = "expected one" if needed else "expected none"
                raise ValueError(f"{name}: {wanted} of the variant {self.heads.variant}")


@dataclass(frozen=True)
class Run:
    """A trained run, its heads in evaluation mode.

    identity: the seal of its `config.json`, which vouches for the weights.
    training: the mentions that its GCN reads; None without one.
    reranking: of what the heads rank; None without one.
    """

    folder: RunFolder
    info: RunInfo
    model: Heads[Any, Any]
    device: torch.device
    identity: str
    training: TrainingMentions | None
    reranking: Reranking | None

    @classmethod
    def open(cls, folder: RunFolder, device: torch.device) -> Run:
        """Read a run's configuration and weights.

        Raises:
            MelovError: no such run, a damaged one, or one of another version of this program.
        """
        sealed = folder.read_config()
        again = f"run {folder.command}"
        weights = sealed.bytes_of(folder.weights.name)
        try:
            info = RunInfo.model_validate(sealed.content)
            info.require_parts()
            model = VARIANTS[info.heads.variant].build(info.heads)
            state = load(weights)
            of_heads, of_reranking = split_weights(state)
            model.load_state_dict(of_heads)
            reranking = None
            if info.rerank is None and of_reranking:
                raise ValueError("weights of a re-ranking that the run has none of")
            if info.rerank is not None:
                reranking = Reranking.of_state(info.rerank, of_reranking)
        except (ValueError, RuntimeError, SafetensorError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            raise MelovError(
                f"{folder.path}: the heads do not fit this version: {said}", again
            ) from None
        for name, weight in state.items():
            if not torch.isfinite(weight).all():
                raise MelovError(f"{folder.weights}: {name} has numbers that are not finite", again)
        training = None
        if info.similarity is not None:
            data = sealed.bytes_of(folder.training.name)
            training = TrainingMentions.read(data, str(folder.training), again)
            wanted = {*info.similarity.config.further}
            if training.further.keys() != wanted:
                raise DamagedError(
                    f"{folder.training}: damaged: has texts of {sorted(training.further)}, and the "
                    f"graph compares those of {sorted(wanted)}",
                    again,
                )
        model = model.to(device).eval()
        return cls(folder, info, model, device, sealed.seal, training, reranking)

    def require(self, dataset: Dataset, hint: str | None = None) -> None:
        """Raises MelovError if the run was trained over another encoder's features than the data
        set's; the differences are named. Other records and another graph are no difference.

        Args:
            hint: what mends it; None for training again.
        """
        trained = Fingerprint(self.info.encoder)
        present = Fingerprint(dataset.encoder(self.info.heads, self.info.graph))
        if trained != present:
            found = "; ".join(trained.differences(present))
            raise MelovError(
                f"{self.folder.path}: trained over another encoder: {found}",
                hint or f"run {self.folder.command}",
            )

    def graph(self, cached: StoredFeatures) -> TrainingGraph | None:
        """Where mentions stand among the training mentions; None where no GCN reads it.

        Args:
            cached: a store with the training mentions' features.

        Raises:
            MelovError: the store has no features of a training mention any more.
        """
        if self.training is None or self.info.similarity is None:
            return None
        reading = reading_of(self.info.heads, self.info.train)
        similarity = self.info.similarity
        return TrainingGraph(self.training, similarity, cached, reading, self.without_mentions)

    @property
    def without_mentions(self) -> str:
        """What helps where a store lacks mentions of training."""
        train = f"train on the present records: {self.folder.command}"
        return f"{train}\n  or keep them in the source, answered nil where the entity is gone"

    def data(self, dataset: Dataset) -> LinkingData:
        """What the run ranks: validation and test of a data set of its encoder.

        Raises:
            MelovError: as `require` and `graph` do.
        """
        self.require(dataset)
        info = self.info
        cached, views = dataset.features(info.heads.variant, info.heads.reads, self.device)
        keep = None if info.cut is None else relevant_pictures(cached, info.cut)
        graph = self.graph(cached)
        splits = [*RANKED, *([NIL] if dataset.records.nil.num_rows else [])]
        graphs = {}
        if graph is not None:
            further = {name: dataset.further(name) for name in graph.similarity.config.further}
            graphs = {split: graph.of_split(cached, split, further) for split in splits}
        inputs = MentionInputs.around(cached, graphs, keep)
        made_from = dataset.provenance(info.heads, info.graph)
        return LinkingData(cached, inputs, dataset.gold, views, dataset.store, made_from)

    def evaluate(
        self, dataset: Dataset, config: EvaluateConfig, about: dict[str, Any] | None = None,
        taken: Callable[[Mapping[str, Predicted]], None] | None = None,
        ranker: Ranker | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Rank validation and test, write `ranks.npz`, `probabilities.npz`, `predictions.csv` and
        `metrics.json`; returns the latter.

        Beside what is trained, what is not is ranked too (`stages/runs/beside.py`). Of a run that
        re-ranks, the metrics without that stand under BEFORE.

        Args:
            about: goes into `metrics.json` besides data set, variant and seed.
            taken: is given the answers by split, once they are written.
            ranker: ranks in this process's place.
        """
        data = self.data(dataset)
        if ranker is None:
            ranked = rank_alone(self.model, data, dataset.records, config)
        else:
            ranked = ranker(self, dataset, data, config)
        ranks, best = ranked.ranks, ranked.best
        before = {}
        if self.reranking is not None:
            before = {BEFORE: metrics_of(ranks, data, dataset.records)}
            best, ranks = self._reranked(best, ranks, dataset.records)
        found = metrics_of(ranks, data, dataset.records) | before
        info = self.info
        named = {"dataset": info.dataset, "variant": info.heads.variant, "seed": info.seed}
        if info.heads.entry.trained:
            found[UNTRAINED] = rank_yardsticks(dataset, config, self.device)
        graph = {"graph": info.provenance["graph"]} if "graph" in info.provenance else {}
        made_from = {MADE_FROM: {"run": self.identity, **data.provenance, **graph}}
        known = probabilities(best, config)
        content = {**named, **(about or {}), **found, PROBABILITY: known.said, **made_from}
        threshold = known.said.get("threshold")
        predicted = {
            split: Predicted(known.best[split], ranks[split], known.calibration, threshold)
            for split in RANKED
        }
        files = {
            self.folder.ranks.name: _npz({split: of.astype("f4") for split, of in ranks.items()}),
            self.folder.probabilities.name: _npz(known.arrays),
            self.folder.predictions.name: predictions_csv(dataset.records, predicted),
        }
        lock = self.folder.lock
        with nullcontext() if lock is None else working(lock, "writes the run's metrics"):
            if self.folder.read_config().seal != self.identity:
                raise MelovError(
                    f"{self.folder.path}: trained again while it was ranked; nothing is written",
                    f"run {self.folder.evaluation} again",
                )
            self.folder.write_results(files, content)
        if taken is not None:
            taken(predicted)
        return content

    def _reranked(
        self, best: Mapping[str, tuple[BestScores, np.ndarray]], ranks: Mapping[str, np.ndarray],
        records: Records,
    ) -> tuple[dict[str, tuple[BestScores, np.ndarray]], dict[str, np.ndarray]]:  # fmt: skip
        """The best entities in their new order, and the ranks in it."""
        assert self.reranking is not None
        names, new, found = entity_names(records), {}, {}
        for split, (own, gold) in best.items():
            again = self.reranking.best(own, said_of(records, split), names)
            linked = len(ranks[split])
            found[split] = again, gold
            new[split] = self.reranking.ranks(again.first(linked), gold[:linked], ranks[split])
        return found, new


def _npz(arrays: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
