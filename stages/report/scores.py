"""What one run says of one test mention, in names and pictures: scores, weights, neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.datasets.decoding.picture import Exif
from stages.datasets.records import Records
from stages.report.pictures import Thumbnail, thumbnail

if TYPE_CHECKING:  # torch is loaded only where a run is explained
    from stages.graph.neighbors import Neighbor
    from stages.ranking.top import Candidate
    from stages.report.explain import Explained

SMALL = 64
"""Longest side of the picture of a scored entity or of a neighbor, pixels."""


@dataclass(frozen=True)
class ShownEntity:
    """An entity with S and every unit's score; `rank` as a reader sees it. `probability` is None
    where it is not known."""

    rank: str
    name: str
    picture: Thumbnail
    is_gold: bool
    score: float
    units: dict[str, float]
    probability: float | None = None


@dataclass(frozen=True)
class ShownNeighbor:
    """A `Neighbor` in words, with the entity that it stands for and its picture."""

    words: str
    entity: str
    weight: float
    read: bool
    picture: Thumbnail


@dataclass(frozen=True)
class View:
    """A mention as one run sees it.

    entities: the best ones, and the gold one last where it is none of them.
    alpha: fusion weights of eq. 6 by source; None where nothing is fused.
    nil: the probability of none of the entities; None where it is not known.
    """

    variant: str
    rank: str
    entities: list[ShownEntity]
    alpha: dict[str, float] | None
    neighbors: list[ShownNeighbor]
    nil: float | None = None


class Viewer:
    """Turns rows of the records into names and pictures.

    Args:
        images: the folder that picture paths are relative to.
        exif: whether extraction turned the pictures as their EXIF orientation says.
    """

    def __init__(self, records: Records, images: Path, exif: Exif = "ignore") -> None:
        self.records, self.images, self.exif = records, images, exif

    def picture(self, place: int, side: int) -> Thumbnail:
        """Of a row of the records' pictures; -1 has none."""
        if place < 0:
            return thumbnail(None, side)
        path = self.images / self.records.pictures["path"][place].as_py()
        return thumbnail(path, side, self.exif)

    def view(self, variant: str, rank: str, explained: Explained) -> View:
        """`rank`: of the gold entity, as the run's evaluation counted it."""
        gold = explained.gold.entity
        entities = [
            self._scored(str(place), candidate, explained, candidate.entity == gold)
            for place, candidate in enumerate(explained.top, 1)
        ]
        if not any(entity.is_gold for entity in entities):
            entities.append(self._scored(rank, explained.gold, explained, True))
        neighbors = [self._neighbor(neighbor) for neighbor in explained.neighbors]
        return View(variant, rank, entities, explained.alpha, neighbors, explained.nil)

    def _scored(
        self, rank: str, candidate: Candidate, explained: Explained, is_gold: bool
    ) -> ShownEntity:
        entity = self.records.entities.slice(candidate.entity, 1).to_pylist()[0]
        picture = self.picture(entity["picture"], SMALL)
        likely = explained.probability.get(candidate.entity)
        scores = candidate.score, candidate.units, likely
        return ShownEntity(rank, entity["name"], picture, is_gold, *scores)

    def _neighbor(self, neighbor: Neighbor) -> ShownNeighbor:
        mention = self.records.mentions["train"].slice(neighbor.row, 1).to_pylist()[0]
        entity = self.records.entities["name"][mention["gold"]].as_py()
        picture = self.picture(mention["picture"], SMALL)
        return ShownNeighbor(mention["words"], entity, neighbor.weight, neighbor.read, picture)
