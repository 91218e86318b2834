"""How well a linker does on a data set whose entities its heads may never have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.datasets.records import Records
from stages.linking.linker import Linker
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths
from stages.progress import progress
from stages.ranking.metrics import shown

MOST = 1000
"""Entities of a mention that are looked through; a gold entity behind them counts as not found."""

AT_ONCE = 128


def accuracy(linker: Linker, paths: DatasetPaths, split: str = "test") -> dict[str, Any]:
    """Metrics of linking a split's mentions as if no record held them.

    Args:
        linker: over the entities of this data set.

    Returns:
        `mentions`, `entities`, and every metric with a column in tables.

    Raises:
        MelovError: no records.
    """
    records = Records.load(paths.require_records())
    mentions, gold = mentions_of(records, split, paths.root), records.gold(split)
    ids = records.entities["id"].to_pylist()
    ranks = []
    with progress(len(mentions), "mentions", "link") as bar:
        for lo in range(0, len(mentions), AT_ONCE):
            block = mentions[lo : lo + AT_ONCE]
            for linked, row in zip(linker.link(block, MOST), gold[lo:], strict=False):
                if row >= 0:
                    scores = {entity.id: entity.score for entity in linked.entities}
                    ranks.append(_rank(scores, ids[row]))
            bar.update(len(block))
    found = np.array(ranks)
    measured = {metric.key: metric.of(found) for metric in shown()}
    return {"mentions": len(found), "entities": len(ids), **measured}


def _rank(scores: dict[str, float], gold: str) -> float:
    """1 + the entities scored higher + half of the others scored equal."""
    if gold not in scores:
        return float("inf")
    values, own = np.array(list(scores.values())), scores[gold]
    return float(1 + (values > own).sum() + ((values == own).sum() - 1) / 2)


def mentions_of(records: Records, split: str, root: Path) -> list[NewMention]:
    """A split's mentions with their pictures' files, as if no record held them."""
    folder, paths = records.image_folder(root), records.pictures["path"].to_pylist()
    return [
        NewMention(
            said["words"],
            said["sentence"],
            folder / paths[said["picture"]] if said["picture"] >= 0 else None,
            said["id"],
        )
        for said in records.mentions[split].to_pylist()
    ]
