"""`predictions.csv`: what a run answers to every mention that it was evaluated on.

A row a mention of validation and test, in the order of the records, those without an entity last
in their split: what was right, at which rank it stands, and the TOP best entities with their scores
and probabilities. Texts are as a spreadsheet may open them (`stages/shown.py`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.datasets.records import Records
from stages.shown import cell

if TYPE_CHECKING:  # which would import torch, and a report needs none
    from stages.ranking.best import BestScores
    from stages.ranking.calibration import Calibration

TOP = 10
ABOUT = (
    "split", "id", "mention", "gold", "gold_name", "rank", "flags", "answer", "nil_probability",
)  # fmt: skip
OF_EACH = ("entity", "name", "score", "probability")


def of_each(name: str, place: int) -> str:
    """The column of the entity at a place, from 1 on."""
    return f"{name}_{place}"


COLUMNS = (*ABOUT, *(of_each(name, place) for place in range(1, TOP + 1) for name in OF_EACH))


@dataclass(frozen=True)
class Predicted:
    """A split's mentions, those without an entity last.

    Args:
        ranks: of the gold entities, (mentions that have one,).
        calibration: None where no probability is known: then the best entity is the answer.
        threshold: probability from which on it is; None where no precision is reached.
    """

    best: BestScores
    ranks: np.ndarray
    calibration: Calibration | None
    threshold: float | None

    @cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of the best entities (m, k) and of none (m,), where they are known."""
        return (
            None if self.calibration is None else self.calibration.probabilities(self.best.scores)
        )

    @property
    def likely(self) -> np.ndarray:
        """The best entity's probability, or its score where none is known, (m,)."""
        known = self.probabilities
        found: np.ndarray = self.best.scores[:, 0] if known is None else known[0][:, 0]
        return found

    @property
    def accepted(self) -> np.ndarray:
        """Whether the best entity is the answer, bool (m,)."""
        if self.calibration is None:
            return np.ones(len(self.best), bool)
        found: np.ndarray = self.likely >= (np.inf if self.threshold is None else self.threshold)
        return found


def predictions_csv(records: Records, predicted: Mapping[str, Predicted]) -> bytes:
    """The file's content, UTF-8."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    ids, names = (records.entities[name].to_pylist() for name in ("id", "name"))
    for split, of in predicted.items():
        rows = _rows(records, split, of, ids, names)
        writer.writerows([cell(value) for value in row] for row in rows)
    return file.getvalue().encode()


def mentions_of(records: Records, split: str) -> list[dict[str, Any]]:
    """A split's mentions in the order of the records, those without an entity last: they have no
    `gold`."""
    nil = records.nil.take(pa.array(records.nil_rows(split)))
    return [*records.mentions[split].to_pylist(), *nil.to_pylist()]


def _rows(
    records: Records, split: str, of: Predicted, ids: Sequence[str], names: Sequence[str]
) -> Iterator[list[Any]]:
    p, none = of.probabilities or (None, None)
    accepted = of.accepted
    for i, mention in enumerate(mentions_of(records, split)):
        own = "gold" in mention
        scores, entities = of.best.scores[i], of.best.entities[i]
        row = [
            split, mention["id"], mention["words"],
            mention["answer"] if own else "", names[mention["gold"]] if own else "",
            _number(of.ranks[i]) if own else "", " ".join(mention.get("flags") or ()),
            ids[entities[0]] if accepted[i] else "", "" if none is None else f"{none[i]:.6f}",
        ]  # fmt: skip
        for place in range(TOP):
            if place >= len(entities) or entities[place] < 0:
                row += [""] * len(OF_EACH)
                continue
            likely = "" if p is None else f"{p[i, place]:.6f}"
            entity = entities[place]
            row += [ids[entity], names[entity], f"{scores[place]:.6f}", likely]
        yield row


def _number(rank: float) -> str:
    """A rank may lie between two, among equals."""
    return f"{rank:g}" if rank < 1e6 else f"{rank:.1f}"
