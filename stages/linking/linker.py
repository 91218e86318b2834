"""Links new mentions with a trained run: encode, find similar training mentions, rank.

linker = Linker.open(DatasetPaths("wikimel"), "melov", 0, params.extract, params.evaluate)
for linked in linker.link([NewMention("Lincoln", "Lincoln is a car brand.")], top=5): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig, ExtractConfig, TrainConfig
from stages.device import heads_device
from stages.features.batches import SplitGraph
from stages.features.cached import StoredFeatures
from stages.features.relevance import is_relevant, relevance
from stages.further import FIRST
from stages.graph.neighbors import nearest
from stages.heads.heads import Heads
from stages.heads.variants import VARIANTS
from stages.linking.encoding import MentionEncoder, open_mention_encoder
from stages.linking.features import ExtendedFeatures, NewFeatures
from stages.linking.further import Further, open_further_encoders
from stages.linking.knowledge_base import KnowledgeBase, dataset_at
from stages.linking.mention import NewMention
from stages.linking.result import Linked, LinkedEntity, LinkedNeighbor, RowNames
from stages.paths import DatasetPaths
from stages.ranking.calibration import CANDIDATES
from stages.ranking.top import Candidate, Ranked
from stages.runs.calibrated import Known, calibration_of
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import fit
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from stages.runs.training_graph import TrainingGraph

MENTIONS_AT_ONCE = 1024
"""New mentions that are held in memory while the knowledge base passes by once."""


@dataclass(frozen=True)
class Linker:
    """Everything that links: opened once, for any number of mentions; get one from `open`.

    Args:
        cached: the store with the features of the run's training mentions.
        graph: None where the variant has no GCN.
        known: how scores become probabilities.
    """

    run: Run
    cached: StoredFeatures
    graph: TrainingGraph | None
    encoder: MentionEncoder
    names: RowNames
    ranked: Ranked
    config: EvaluateConfig
    known: Known

    @classmethod
    def of(
        cls, run: Run, cached: StoredFeatures, encoder: MentionEncoder, base: KnowledgeBase,
        config: EvaluateConfig,
    ) -> Linker:  # fmt: skip
        """A run, its training mentions' features and its encoder, with what it ranks.

        Raises:
            MelovError: `cached` lacks features of a training mention.
        """
        names, known = base.named(run.training), calibration_of(run.folder, base.records)
        encoder = replace(encoder, arrays=base.arrays)
        return cls(run, cached, run.graph(cached), encoder, names, base.ranked, config, known)

    @classmethod
    def open(
        cls, paths: DatasetPaths, variant: str, seed: int, extract: ExtractConfig,
        evaluate: EvaluateConfig, index: bool = False,
    ) -> Linker:  # fmt: skip
        """Open a run with its store, graph and encoder; of a variant that learns nothing, one is
        made where there is none.

        Args:
            index: write the entities' side to the disk, or read it where that has been done.

        Raises:
            MelovError: no such data set or run, parts that do not belong together, or an encoder
                that is not the one that made the store.
        """
        require_linkable(variant)
        dataset = Dataset.open(paths)
        run_folder, device = RunFolder.of(paths, variant, seed), heads_device(evaluate.device)
        if not (VARIANTS[variant].trained or run_folder.is_trained):
            # Nothing is learned, so nobody needs to ask for it.
            fit(
                RunSpec.of(variant, seed, TrainConfig(device=str(device))),
                dataset,
                run_folder,
                evaluate,
            )
        run = Run.open(run_folder, device)
        run.require(dataset)
        heads = run.info.heads
        cached, _ = dataset.features(variant, heads.reads, run.device)
        hint = f"python -m pipeline.extract --dataset {paths.dataset} --force"
        encoder = open_mention_encoder(
            dataset.store, extract, paths.root, images=cached.uses_images, arrays=(), hint=hint
        )
        encoder = replace(encoder, further=further_encoders_of(run, dataset, extract, hint))
        folder = paths.index(variant, seed) if index else None
        base = KnowledgeBase.of(run, dataset, evaluate, folder)
        return cls.of(run, cached, encoder, base, evaluate)

    def with_entities(self, folder: Path, index: bool = True) -> Linker:
        """The same heads over the entities of another data set.

        Args:
            folder: a project's `data/NAME`, prepared and extracted.
            index: keep the entities' side on the disk, in that project's `indexes/`.

        Raises:
            MelovError: no such data set; it was extracted with another encoder (the differences
                are named).
        """
        paths, info = dataset_at(folder), self.run.info
        dataset = Dataset.open(paths)
        self.run.require(
            dataset, f"extract {folder} with the encoder of the heads: extract.text_encoder"
        )
        own = paths.index(f"{info.dataset}-{info.heads.variant}", info.seed)
        base = KnowledgeBase.of(self.run, dataset, self.config, own if index else None)
        return replace(
            self,
            encoder=replace(self.encoder, arrays=base.arrays),
            names=base.named(self.run.training),
            ranked=base.ranked,
            known=calibration_of(self.run.folder, base.records),
        )

    @property
    def reads_pictures(self) -> bool:
        return self.cached.uses_images or bool(self.pictured)

    @property
    def pictured(self) -> set[str]:
        """The further encoders of pictures that the run reads."""
        return {name for name, shape in self.run.info.heads.further.items() if shape.pictures}

    @property
    def model(self) -> Heads[Any, Any]:
        return self.run.model

    def link(
        self, mentions: Sequence[NewMention], top: int, least: float | None = None
    ) -> Iterator[Linked]:
        """The `top` entities of each mention, in the order of `mentions`.

        A mention's result does not depend on the others.

        Args:
            least: the probability from which on the best entity is the answer; None: always.

        Raises:
            MelovError: `least` is asked of a run that knows no probabilities.
        """
        if least is not None and self.known.calibration is None:
            raise MelovError(
                f"no probability is known, so none can be asked for: {self.known.words}"
            )
        for lo in range(0, len(mentions), MENTIONS_AT_ONCE):
            for linked in self._link(mentions[lo : lo + MENTIONS_AT_ONCE], top):
                yield linked.answered(least)

    @torch.inference_mode()
    def _link(self, mentions: Sequence[NewMention], top: int) -> list[Linked]:
        new = self._filtered(self.encoder(mentions))
        source = ExtendedFeatures(self.cached, new)
        graph = None
        if self.graph is not None:
            keys = [new.keys[p] if p >= 0 else b"" for p in new.pictures]
            texts = {FIRST: new.text_global, **new.further}
            graph = self.graph.of_new(texts, source.image_rows, keys)
        sides: list[Any] = []
        alphas: list[dict[str, float] | None] = []
        for lo in range(0, len(new), self.config.mention_rows):
            rows = np.arange(lo, min(lo + self.config.mention_rows, len(new)))
            side, optimized = self.model.mentions(source.input(rows, graph))
            sides.append(side)
            alphas += optimized.weights(self.model.config.sources, len(rows))
        whole = self.known.calibration is not None or self.run.reranking is not None
        best = self.ranked.top(sides, max(top, CANDIDATES) if whole else top)
        if self.run.reranking is not None:
            said = [(mention.words, mention.sentence) for mention in mentions]
            best = self.run.reranking.candidates(best, said, self.names.every)
        return [
            Linked(
                id=mention.id,
                mention=mention.words,
                entities=self._entities(best[i])[:top],
                has_image=bool(new.pictures[i] >= 0),
                neighbours=[] if graph is None else self._neighbors(graph, i),
                alpha=alphas[i],
                warnings=list(new.warnings[i]),
                nil_probability=self.known.of([c.score for c in best[i]])[1],
                calibration=self.known.words,
            )
            for i, mention in enumerate(mentions)
        ]

    def _filtered(self, new: NewFeatures) -> NewFeatures:
        """Variant `filter`: pictures that agree too little with their text are left out."""
        cut = self.run.info.cut
        if cut is None:
            return new
        with_picture = np.flatnonzero(new.pictures >= 0)
        agreed = relevance(
            new.text_global[with_picture], new.image_global[new.pictures[with_picture]]
        )
        dropped = with_picture[~is_relevant(agreed, cut)]
        pictures, warnings = new.pictures.copy(), list(new.warnings)
        pictures[dropped] = -1
        further = dict(new.further)
        for name in self.pictured & further.keys():
            further[name] = further[name].copy()
            further[name][dropped] = 0
        for i in dropped:
            warnings[i] += ("picture left out: it agrees too little with the text",)
        return replace(new, pictures=pictures, warnings=warnings, further=further)

    def _entities(self, found: Sequence[Candidate]) -> list[LinkedEntity]:
        ids, names = self.names.entity_ids, self.names.entities
        likely, _ = self.known.of([c.score for c in found])
        return [
            LinkedEntity(rank, ids[c.entity], names[c.entity], c.score, c.units, p)
            for rank, (c, p) in enumerate(zip(found, likely, strict=True), 1)
        ]

    def _neighbors(self, graph: SplitGraph, mention: int) -> list[LinkedNeighbor]:
        """Training mentions that the GCN's last layer reads: those above τ, nearest first."""
        assert self.model.tau is not None
        tau = float(self.model.tau)
        ids, words = self.names.mention_ids, self.names.mentions
        return [
            LinkedNeighbor(ids[neighbor.row], words[neighbor.row], neighbor.weight)
            for neighbor in nearest(graph.adjacency, graph.first + mention, graph.first, tau)
            if neighbor.read
        ]


def further_encoders_of(
    run: Run, dataset: Dataset, extract: ExtractConfig, hint: str
) -> list[Further]:
    """The further encoders that a run reads, as they made the data set's stores.

    Raises:
        MelovError: as `open_further_encoders` does.
    """
    stores = {name: dataset.further(name) for name in run.info.further}
    return open_further_encoders(stores, extract, dataset.paths.root, hint)


def require_linkable(variant: str) -> None:
    """Raises MelovError for a variant that links no new mention."""
    if VARIANTS[variant].joint:
        raise MelovError(
            f"the baseline {variant} exists for comparison: its new mentions would need the "
            "joint encoder",
            "link with a run of another variant, such as --variant melov",
        )
