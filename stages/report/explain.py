"""Why a run ranks as it does: partial scores, fusion weights and neighbors of test mentions.

Reads the run's heads and the feature store; no encoder, since the mentions are the records' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.device import heads_device
from stages.features.data import LinkingData
from stages.graph.neighbors import Neighbor, nearest
from stages.paths import DatasetPaths
from stages.progress import progress
from stages.ranking.calibration import CANDIDATES
from stages.ranking.top import Candidate, top_entities
from stages.rerank.reranking import RERANK
from stages.runs.calibrated import calibration_of
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.reranking import entity_names, said_of
from stages.runs.run import Run

TOP = 5
"""Entities shown of each mention."""
NEIGHBORS = 6
"""Training mentions shown of each mention, the nearest."""


@dataclass(frozen=True)
class Explained:
    """One test mention under one run.

    top: the best entities, best first; gold: the right one, wherever it stands.
    alpha: weights of eq. 6 for the global feature by source; None where nothing is fused.
    neighbors: the nearest training mentions; none where the variant has no GCN.
    probability: of the candidates by their rows; empty of an uncalibrated run.
    nil: the probability of none of them; None of an uncalibrated run.
    """

    top: list[Candidate]
    gold: Candidate
    alpha: dict[str, float] | None
    neighbors: list[Neighbor]
    probability: dict[int, float]
    nil: float | None


class Explainer:
    """A data set opened once, and its runs as they are asked for.

    Args:
        records: of the data set, where they have been read already.

    Raises:
        MelovError: no store or graph, or parts that do not belong together.
    """

    def __init__(
        self, paths: DatasetPaths, config: EvaluateConfig, records: Records | None = None
    ) -> None:
        self.paths, self.config = paths, config
        self.dataset = Dataset.open(paths, records)
        train = self.dataset.records.mentions["train"]["id"].to_pylist()
        self._row_of = {id: row for row, id in enumerate(train)}
        self._runs: dict[tuple[str, int], tuple[Run, LinkingData]] = {}

    @torch.inference_mode()
    def explain(self, variant: str, seed: int, rows: Sequence[int]) -> list[Explained]:
        """Distinct rows of the test split, in their order."""
        if not rows:
            return []
        run, data = self._run(variant, seed)
        model = run.model
        at = np.array(rows, dtype=np.int64)
        side, optimized = model.mentions(data.inputs.batch("test", at))
        best = top_entities(
            model, data.cached, data.views, [side], CANDIDATES, self.config.entity_rows
        )
        records = self.dataset.records
        if run.reranking is not None:
            every, names = said_of(records, "test"), entity_names(records)
            best = run.reranking.candidates(best, [every[row] for row in at], names)
        known = calibration_of(run.folder, records.digest)
        likely = [known.of([c.score for c in own]) for own in best]
        gold = self._gold(run, data, at, side, best)
        alphas = optimized.weights(model.config.sources, len(at))
        return [
            Explained(
                best[i][:TOP],
                gold[i],
                alphas[i],
                self._neighbors(run, data, int(at[i])),
                {c.entity: p for c, p in zip(best[i], likely[i][0], strict=True) if p is not None},
                likely[i][1],
            )
            for i in range(len(at))
        ]

    def _gold(
        self, run: Run, data: LinkingData, at: np.ndarray, side: Any,
        best: Sequence[Sequence[Candidate]],
    ) -> list[Candidate]:  # fmt: skip
        """The gold entity of each mention: as it stands among the best, or as it is scored."""
        gold = data.gold["test"][at]
        pairs = run.model.matcher.pairs(side, run.model.entities(data.cached.entities(gold)))
        own = [pairs.total.diagonal().tolist()]
        own += [scores.diagonal().tolist() for scores in pairs.units.values()]
        none = {} if run.reranking is None else {RERANK: 0.0}
        found = []
        for entity, among, (score, *parts) in zip(
            gold.tolist(), best, zip(*own, strict=True), strict=True
        ):
            units = dict(zip(pairs.units, parts, strict=True))
            scored = Candidate(entity, score, units | none)
            found.append(next((c for c in among if c.entity == entity), scored))
        return found

    @torch.inference_mode()
    def fusion(self, variant: str, seed: int) -> dict[str, np.ndarray] | None:
        """Source -> weights of all test mentions (m,); None where nothing is fused.

        The mentions' side alone: no entity is read.
        """
        run, data = self._run(variant, seed)
        model = run.model
        n, size = data.cached.n_mentions("test"), self.config.mention_rows
        if len(model.config.sources) < 2 or n == 0:
            return None
        found = []
        with progress(n, "mentions", "fusion weights") as bar:
            for start in range(0, n, size):
                rows = np.arange(start, min(start + size, n))
                alpha = model.mentions(data.inputs.batch("test", rows))[1].alpha
                assert alpha is not None
                found.append(alpha.cpu().numpy())
                bar.update(len(rows))
        return dict(zip(model.config.sources, np.concatenate(found).T, strict=True))

    def _run(self, variant: str, seed: int) -> tuple[Run, LinkingData]:
        if (variant, seed) not in self._runs:
            folder = RunFolder.of(self.paths, variant, seed)
            run = Run.open(folder, heads_device(self.config.device))
            self._runs[variant, seed] = run, run.data(self.dataset)
        return self._runs[variant, seed]

    def _neighbors(self, run: Run, data: LinkingData, row: int) -> list[Neighbor]:
        """Nearest first, among those that `neighbor_limit` leaves and that the records still hold;
        by their rows there."""
        if run.training is None or run.model.tau is None:
            return []
        graph, tau = data.inputs.graphs["test"], float(run.model.tau)
        found = nearest(graph.adjacency, graph.first + row, graph.first, tau)
        rows = [self._row_of.get(run.training.ids[neighbor.row]) for neighbor in found]
        return [
            replace(neighbor, row=own)
            for neighbor, own in zip(found, rows, strict=True)
            if own is not None
        ][:NEIGHBORS]
