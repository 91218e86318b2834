"""Ranks by several processes of this machine, each of which opens the run for itself.

run.evaluate(dataset, config, ranker=by_processes(4))
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.device import heads_device
from stages.features.data import LinkingData
from stages.paths import DatasetPaths
from stages.progress import show_progress
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.ranked import Found, Ranked, put_together, rank_share
from stages.runs.run import Ranker, Run
from stages.share import Share


def by_processes(workers: int) -> Ranker | None:
    """So many processes, which share this one's threads; None for this process alone.

    Raises, when it ranks:
        MelovError: a score is not finite; the run or the data set is replaced meanwhile; a process
            is killed.
    """
    if workers == 1:
        return None

    def rank(run: Run, dataset: Dataset, data: LinkingData, config: EvaluateConfig) -> Ranked:
        threads = max(1, torch.get_num_threads() // workers)
        asked = Asked(dataset.paths, run.folder, run.identity, data.provenance, config, threads)
        # Not forked: this process has threads by now.
        context = multiprocessing.get_context("spawn")
        parts = [Share(number, workers) for number in range(workers)]
        try:
            with ProcessPoolExecutor(workers, context) as pool:
                shares = list(pool.map(asked.ranked, parts))
        except BrokenProcessPool:
            raise MelovError(
                f"{run.folder.path}: a process that ranked a share has ended; nothing is written",
                "free memory or take fewer --workers, and run the same command again",
            ) from None
        return put_together(shares, data, dataset.records)

    return rank


@dataclass(frozen=True)
class Asked:
    """What a process is told that opens the run and the data set for itself.

    Args:
        identity: of the run; provenance: of the data.
        threads: of its matrix products.
    """

    paths: DatasetPaths
    folder: RunFolder
    identity: str
    provenance: Mapping[str, str]
    config: EvaluateConfig
    threads: int

    def ranked(self, share: Share) -> Found:
        """Its share.

        Raises:
            MelovError: the run or the data set is another one by now.
        """
        torch.set_num_threads(self.threads)
        show_progress(share.number == 0)  # one bar tells of all
        dataset = Dataset.open(self.paths)
        run = Run.open(self.folder, heads_device(self.config.device))
        data = run.data(dataset)
        if (run.identity, data.provenance) != (self.identity, self.provenance):
            raise MelovError(
                f"{self.folder.path}: replaced while it was ranked; nothing is written",
                f"run {self.folder.evaluation} again",
            )
        return rank_share(run.model, data, dataset.records, self.config, share)
