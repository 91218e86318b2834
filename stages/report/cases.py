"""Cases (Figure 4): test mentions where two variants differ most, wins and losses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.datasets.records import Records
from stages.report.pictures import Thumbnail, thumbnail
from stages.report.results import Results


@dataclass(frozen=True)
class Marked:
    """A sentence around its mention; `mention` is empty where the sentence does not hold it."""

    before: str
    mention: str = ""
    after: str = ""


@dataclass(frozen=True)
class Case:
    """One test mention as two variants rank it."""

    id: str
    words: str
    sentence: Marked
    kind: str
    entity: str
    mention_picture: Thumbnail
    entity_picture: Thumbnail
    ranks: tuple[str, str]


@dataclass(frozen=True)
class Cases:
    """Mentions that the first of two variants ranks better (wins) or worse (losses).

    better, worse, equal: how many test mentions there are of each sort.
    """

    variants: tuple[str, str]
    seed: int
    better: int
    worse: int
    equal: int
    wins: list[Case]
    losses: list[Case]


def find_cases(results: Results, records: Records, root: Path, most: int) -> Cases | None:
    """Up to `most` cases of the first two variants and the first seed, half wins, half losses.

    They are those with the largest difference of reciprocal rank, as the MRR counts it; then of
    rank; then in the records' order. None with a single variant.

    Parameters
    ----------
    root: the project's folder, that `records.image_root` is relative to.
    """
    if len(results.variants) < 2:
        return None
    first, second = results.variants[:2]
    seed = results.seeds[0]
    ours, theirs = (results.runs[v, seed].ranks.astype(np.float64) for v in (first, second))
    better, worse = differing(ours, theirs)

    def case(row: int) -> Case:
        return _case(records, root / records.image_root, row, (ours[row], theirs[row]))

    return Cases(
        (first, second),
        seed,
        better=len(better),
        worse=len(worse),
        equal=len(ours) - len(better) - len(worse),
        wins=[case(row) for row in better[: (most + 1) // 2]],
        losses=[case(row) for row in worse[: most // 2]],
    )


def differing(ours: np.ndarray, theirs: np.ndarray) -> tuple[list[int], list[int]]:
    """Rows where `ours` is better and where it is worse, the largest differences first."""
    gain = 1 / ours - 1 / theirs
    order = np.lexsort((np.arange(len(ours)), -np.abs(ours - theirs), -np.abs(gain)))
    return order[gain[order] > 0].tolist(), order[gain[order] < 0].tolist()


def mark(sentence: str, words: str) -> Marked:
    """The first place of `words` in the sentence: as a word, else anywhere, whatever the case."""
    if words:
        plain = re.escape(words)
        for pattern in (rf"(?<!\w){plain}(?!\w)", plain):
            found = re.search(pattern, sentence, re.IGNORECASE)
            if found:
                start, stop = found.span()
                return Marked(sentence[:start], sentence[start:stop], sentence[stop:])
    return Marked(sentence)


def _case(records: Records, images: Path, row: int, ranks: tuple[float, float]) -> Case:
    mention = records.mentions["test"].slice(row, 1).to_pylist()[0]
    entity = records.entities.slice(mention["gold"], 1).to_pylist()[0]

    def picture(place: int) -> Thumbnail:
        if place < 0:
            return thumbnail(None)
        return thumbnail(images / records.pictures["path"][place].as_py())

    return Case(
        id=mention["id"],
        words=mention["words"],
        sentence=mark(mention["sentence"], mention["words"]),
        kind=mention["image_kind"] or "",
        entity=entity["name"],
        mention_picture=picture(mention["picture"]),
        entity_picture=picture(entity["picture"]),
        ranks=(f"{ranks[0]:,g}", f"{ranks[1]:,g}"),
    )
