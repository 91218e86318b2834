"""The tiny data set's test mentions as new ones, and how a run of it ranks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import Mention
from stages.datasets.records import Records
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.paths import DatasetPaths
from stages.ranking.top import Candidate, top_entities
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run

PATHS = DatasetPaths("tiny")


def mentions_of_test() -> list[Mention]:
    """With their pictures' bytes, so that they can be linked where the project is not."""
    records = Records.load(PATHS.records)
    paths = [Path(records.image_root) / p for p in records.pictures["path"].to_pylist()]
    return [
        Mention(
            m["words"], m["sentence"],
            image=None if m["picture"] < 0 else paths[m["picture"]].read_bytes(),
        )
        for m in records.mentions["test"].to_pylist()
    ]  # fmt: skip


@torch.inference_mode()
def ranked() -> tuple[Heads[Any, Any], LinkingData, list[list[Candidate]]]:
    """The heads of `melov`, seed 0, what they rank, and the five best of each test mention."""
    opened = Run.open(RunFolder.of(PATHS, "melov", 0), torch.device("cpu"))
    data = opened.data(Dataset.open(PATHS))
    rows = np.arange(data.cached.n_mentions("test"))
    side, _ = opened.model.mentions(data.inputs.batch("test", rows))
    best = top_entities(opened.model, data.cached, data.views, [side], 5, 7)
    return opened.model, data, best
