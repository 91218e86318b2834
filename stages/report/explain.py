"""Why a run ranks as it does: partial scores, fusion weights and neighbours of test mentions.

Reads the run's heads and the feature store; no encoder, since the mentions are the records' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.device import heads_device
from stages.graph.neighbors import Neighbor, nearest
from stages.heads.model import Melov
from stages.paths import DatasetPaths
from stages.progress import progress
from stages.ranking.rank import Candidate, top_entities
from stages.runs.data import Opened, open_dataset, open_run
from stages.training.train import Data

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
    """

    top: list[Candidate]
    gold: Candidate
    alpha: dict[str, float] | None
    neighbors: list[Neighbor]


class Explainer:
    """A data set opened once, and its runs as they are asked for.

    Raises
    ------
    MelovError: no store or graph, or parts that do not belong together.
    """

    def __init__(self, paths: DatasetPaths, config: EvaluateConfig) -> None:
        self.paths, self.config = paths, config
        self.opened: Opened = open_dataset(paths)
        self._runs: dict[tuple[str, int], tuple[Melov, Data]] = {}

    @torch.inference_mode()
    def explain(self, variant: str, seed: int, rows: Sequence[int]) -> list[Explained]:
        """Distinct rows of the test split, in their order."""
        if not rows:
            return []
        model, data = self._run(variant, seed)
        at = np.array(rows, dtype=np.int64)
        side, optimized = model.mentions(data.inputs.batch("test", at))
        best = top_entities(model, data.cached, data.views, [side], TOP, self.config.entity_rows)
        gold = data.gold["test"][at]
        pairs = model.matcher.pairs(side, model.entities(data.cached.entities(gold)))
        own = [pairs.total.diagonal().tolist()]
        own += [scores.diagonal().tolist() for scores in pairs.units.values()]
        alphas = [None] * len(at) if optimized.alpha is None else optimized.alpha.tolist()
        return [
            Explained(
                best[i],
                Candidate(int(gold[i]), score, dict(zip(pairs.units, parts, strict=True))),
                alphas[i] and dict(zip(model.config.sources, alphas[i], strict=True)),
                self._neighbors(model, data, int(at[i])),
            )
            for i, (score, *parts) in enumerate(zip(*own, strict=True))
        ]

    @torch.inference_mode()
    def fusion(self, variant: str, seed: int) -> dict[str, np.ndarray] | None:
        """Source -> weights of all test mentions (m,); None where nothing is fused.

        The mentions' side alone: no entity is read.
        """
        model, data = self._run(variant, seed)
        n, size = data.cached.n_mentions("test"), self.config.mention_rows
        if len(model.config.sources) < 2 or n == 0:
            return None
        found = []
        with progress(n, "mentions", "fusion weights") as bar:
            for start in range(0, n, size):
                rows = np.arange(start, min(start + size, n))
                alpha = model.optimize(data.inputs.batch("test", rows)).alpha
                assert alpha is not None
                found.append(alpha.cpu().numpy())
                bar.update(len(rows))
        return dict(zip(model.config.sources, np.concatenate(found).T, strict=True))

    def _run(self, variant: str, seed: int) -> tuple[Melov, Data]:
        if (variant, seed) not in self._runs:
            device = heads_device(self.config.device)
            try:
                run = open_run(self.paths, self.opened, variant, seed, device)
            except (RuntimeError, TypeError, KeyError):  # other shapes, other settings
                raise MelovError(
                    f"the heads of {variant}, seed {seed}, do not fit this version",
                    f"python -m pipeline.train --dataset {self.paths.dataset} "
                    f"--variant {variant} --seed {seed}",
                ) from None
            self._runs[variant, seed] = run
        return self._runs[variant, seed]

    def _neighbors(self, model: Melov, data: Data, row: int) -> list[Neighbor]:
        """Nearest first, among those that `neighbor_limit` leaves."""
        if not model.config.uses_graph:
            return []
        graph, tau = data.inputs.graphs["test"], float(model.threshold.tau)
        return nearest(graph.adjacency, graph.first + row, graph.first, tau)[:NEIGHBORS]
