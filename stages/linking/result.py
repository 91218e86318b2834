"""What linking says of one mention."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from cache.errors import MelovError
from stages.datasets.entity_columns import every_name
from stages.runs.calibrated import CALIBRATED
from stages.runs.training_mentions import TrainingMentions
from stages.shown import one_line


@dataclass(frozen=True)
class LinkedEntity:
    """A candidate; `units` holds S_T, S_V, S_C, S_L by unit, `score` their mean S. Where the run
    re-ranks, the unit `rerank` is what that adds to the mean.

    `probability` is None of an uncalibrated run, and behind the candidates that share it out. A
    baseline that scores one joint vector has the unit `joint` alone.
    """

    rank: int
    id: str
    name: str
    score: float
    units: dict[str, float]
    probability: float | None = None


@dataclass(frozen=True)
class LinkedNeighbor:
    """A `Neighbor` that the GCN reads, by id and words."""

    id: str
    words: str
    weight: float


@dataclass(frozen=True)
class Linked:
    """One mention's result.

    Args:
        has_image: whether a picture took part.
        neighbours: empty where the variant has no GCN.
        alpha: weights of eq. 6 for the global feature by source; None where nothing is fused.
        warnings: such as a picture that could not be read.
        answer: id of the best entity; None where it is less probable than was asked for.
        nil_probability: of none of the entities; None of an uncalibrated run.
        calibration: `calibrated`, or what is wrong with the probabilities, or why there are none.
    """

    id: str
    mention: str
    entities: list[LinkedEntity]
    has_image: bool
    neighbours: list[LinkedNeighbor]
    alpha: dict[str, float] | None
    warnings: list[str]
    answer: str | None = None
    nil_probability: float | None = None
    calibration: str = ""

    def answered(self, least: float | None) -> Linked:
        """With its answer: the best entity, if it is at least so probable (None: always)."""
        best = self.entities[0]
        sure = least is None or (best.probability is not None and best.probability >= least)
        return replace(self, answer=best.id if sure else None)

    def first(self, top: int) -> Linked:
        """With no more than the `top` best entities."""
        return replace(self, entities=self.entities[:top])

    def to_dict(self) -> dict[str, Any]:
        """Of plain values, as `pipeline.link` writes it."""
        return asdict(self)

    def to_frame(self) -> Any:
        """The entities as a pandas frame: rank, id, name, score, probability, each unit's score.

        Raises:
            MelovError: pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError:
            raise MelovError("pandas is not installed", "pip install pandas") from None
        rows = [{**asdict(e), **e.units} for e in self.entities]
        return pd.DataFrame(rows).drop(columns="units", errors="ignore")

    def as_text(self) -> str:
        """A few lines for a reader."""
        names = [one_line(e.name) for e in self.entities]
        width = max(map(len, names), default=0)
        with_nil = self.nil_probability is not None
        lines = [f"{one_line(self.mention)}  ({'with' if self.has_image else 'without'} a picture)"]
        for e, name in zip(self.entities, names, strict=True):
            units = "  ".join(f"{unit} {score:8.4f}" for unit, score in e.units.items())
            likely = f"  {_shown(e.probability)}" if with_nil else ""
            about = f"{e.rank:>4}  {name:<{width}}  {one_line(e.id):<12}{likely}"
            lines.append(f"{about} {e.score:9.4f}  {units}")
        if self.nil_probability is not None:
            lines.append(f"{'':4}  {'none of them':<{width + 14}}  {_shown(self.nil_probability)}")
        if self.answer is None:
            lines.append("answer      none: the best entity is less probable than was asked for")
        if self.alpha is not None:
            weights = "  ".join(f"{source} {weight:.3f}" for source, weight in self.alpha.items())
            lines.append(f"fusion      {weights}")
        for n in self.neighbours:
            lines.append(f"neighbour   {n.weight:.3f}  {one_line(n.words)}  ({one_line(n.id)})")
        if self.calibration != CALIBRATED:
            lines.append(f"probability {one_line(self.calibration)}")
        lines += [f"warning     {one_line(warning)}" for warning in self.warnings]
        return "\n".join(lines)


def _shown(probability: float | None) -> str:
    return f"{'':6}" if probability is None else f"{probability:6.1%}"


@dataclass(frozen=True)
class RowNames:
    """Ids and names by row, of the knowledge base and of the run's training mentions.

    aliases: of each entity; None where no entity has any.
    """

    entity_ids: list[str]
    entities: list[str]
    mention_ids: list[str]
    mentions: list[str]
    aliases: list[list[str]] | None = None

    @cached_property
    def every(self) -> list[list[str]]:
        """Each entity's names, its own first."""
        return every_name(self.entities, self.aliases)

    @classmethod
    def of(
        cls, ids: list[str], names: list[str], aliases: list[list[str]] | None,
        training: TrainingMentions | None,
    ) -> RowNames:  # fmt: skip
        if training is None:
            return cls(ids, names, [], [], aliases)
        return cls(ids, names, training.ids, training.words, aliases)
