"""A run's answers as other tools compare them with what is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stages.datasets.records import Records
from stages.runs.predictions import Predicted, mentions_of


@dataclass(frozen=True)
class Answered:
    """One mention; a text of its own, since data sets have sentences and no documents.

    Args:
        text: its sentence, or its words where they do not stand in it.
        gold: id of its entity; None: it has none.
        answer: id of the run's; None: none of them.
        score: the probability of the best entity, or its score where no probability is known.
    """

    id: str
    text: str
    start: int
    end: int
    gold: str | None
    answer: str | None
    score: float

    @property
    def words(self) -> str:
        return self.text[self.start : self.end]


def answered(records: Records, split: str, predicted: Predicted) -> Iterator[Answered]:
    """A split's mentions in the order of the records, those without an entity last."""
    ids = records.entities["id"].to_pylist()
    for i, mention in enumerate(mentions_of(records, split)):
        text, start, end = mention["sentence"], mention["start"], mention["end"]
        if start is None:
            text, start, end = mention["words"], 0, len(mention["words"])
        best = ids[predicted.best.entities[i, 0]]
        yield Answered(
            mention["id"], text, start, end,
            gold=mention["answer"] if "gold" in mention else None,
            answer=best if predicted.accepted[i] else None,
            score=float(predicted.likely[i]),
        )  # fmt: skip
