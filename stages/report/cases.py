"""Cases (Figure 4): test mentions that a variant ranks better, worse and the same as `mimic`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from stages.datasets.decoding.picture import Exif
from stages.datasets.records import Records
from stages.report.pictures import THUMBNAIL, Thumbnail
from stages.report.results import BASELINE, Results
from stages.report.scores import View, Viewer
from stages.unicode import canonical

if TYPE_CHECKING:
    from stages.report.explain import Explained

Explain = Callable[[str, int, Sequence[int]], "list[Explained]"]
"""(variant, seed, rows of the test split) -> what the run says of each."""


@dataclass(frozen=True)
class Marked:
    """A sentence around its mention; `mention` is empty where the sentence does not hold it."""

    before: str
    mention: str = ""
    after: str = ""


@dataclass(frozen=True)
class Case:
    """One test mention as two variants rank it.

    views: one a variant; empty where the runs could not be explained.
    """

    id: str
    words: str
    sentence: Marked
    kind: str
    entity: str
    mention_picture: Thumbnail
    entity_picture: Thumbnail
    ranks: tuple[str, str]
    views: tuple[View, ...]


@dataclass(frozen=True)
class Cases:
    """Mentions that the first of two variants ranks better (wins), worse (losses), the same (ties).

    better, worse, equal: how many test mentions there are of each sort.
    """

    variants: tuple[str, str]
    seed: int
    better: int
    worse: int
    equal: int
    wins: list[Case]
    losses: list[Case]
    ties: list[Case]


def find_cases(
    results: Results, records: Records, root: Path, most: int, explain: Explain | None = None,
    exif: Exif = "ignore",
) -> Cases | None:  # fmt: skip
    """Up to `most` cases of `results.compared` against `mimic`, first seed, a third of each sort.

    Wins and losses are those with the largest difference of reciprocal rank, as the MRR counts it;
    ties are spread evenly from the best rank to the worst. None where there is nothing to compare.

    Args:
        root: the project's folder, that `records.image_root` is relative to.
        explain: without it cases show no partial scores, fusion weights and neighbors.
        exif: how extraction read the pictures (`extract.exif`).
    """
    ours = results.compared
    if ours is None or most < 1:
        return None
    variants, seed = (ours, BASELINE), results.seeds[0]
    ranks = [results.runs[v, seed].ranks.astype(np.float64) for v in variants]
    better, worse = differing(*ranks)
    equal = np.flatnonzero(ranks[0] == ranks[1])
    first = firsts(records)
    chosen = [
        [row for row in better if first[row]][: (most + 2) // 3],
        [row for row in worse if first[row]][: (most + 1) // 3],
        spread(ranks[0], equal[first[equal]], most // 3),
    ]
    rows = [row for sort in chosen for row in sort]
    shown = {row: (f"{ranks[0][row]:,g}", f"{ranks[1][row]:,g}") for row in rows}
    viewer = Viewer(records, records.image_folder(root), exif)
    views: dict[int, tuple[View, ...]] = dict.fromkeys(rows, ())
    if explain is not None:
        for place, variant in enumerate(variants):
            for row, found in zip(rows, explain(variant, seed, rows), strict=True):
                views[row] += (viewer.view(variant, shown[row][place], found),)
    wins, losses, ties = (
        [_case(viewer, row, shown[row], views[row]) for row in sort] for sort in chosen
    )
    counts = len(better), len(worse), len(equal)
    return Cases(variants, seed, *counts, wins, losses, ties)


def firsts(records: Records) -> np.ndarray:
    """Whether no earlier test mention has the same words, sentence, picture and entity, bool (n,):
    a reader sees no case twice."""
    test, seen = records.mentions["test"], set()
    columns = (test[name].to_pylist() for name in ("words", "sentence", "picture", "gold"))
    found = []
    for said in zip(*columns, strict=True):
        found.append(said not in seen)
        seen.add(said)
    return np.array(found, dtype=bool)


def differing(ours: np.ndarray, theirs: np.ndarray) -> tuple[list[int], list[int]]:
    """Rows where `ours` is better and where it is worse, the largest differences first."""
    gain = 1 / ours - 1 / theirs
    order = np.lexsort((np.arange(len(ours)), -np.abs(ours - theirs), -np.abs(gain)))
    return order[gain[order] > 0].tolist(), order[gain[order] < 0].tolist()


def spread(ranks: np.ndarray, rows: np.ndarray, count: int) -> list[int]:
    """`count` of `rows` at even steps from the best rank to the worst, equal ones in order."""
    ordered = rows[np.lexsort((rows, ranks[rows]))]
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    chosen: list[int] = ordered[places].tolist()
    return chosen


def mark(sentence: str, words: str) -> Marked:
    """The first place of `words` in the sentence: as a word, else anywhere, whatever the case."""
    sentence, words = canonical(sentence), canonical(words)
    if words:
        plain = regex.escape(words)
        for pattern in (rf"(?<![\w\p{{M}}]){plain}(?![\w\p{{M}}])", plain):
            found = regex.search(pattern, sentence, regex.IGNORECASE)
            if found:
                start, stop = found.span()
                return Marked(sentence[:start], sentence[start:stop], sentence[stop:])
    return Marked(sentence)


def _case(viewer: Viewer, row: int, ranks: tuple[str, str], views: tuple[View, ...]) -> Case:
    mention = viewer.records.mentions["test"].slice(row, 1).to_pylist()[0]
    entity = viewer.records.entities.slice(mention["gold"], 1).to_pylist()[0]
    return Case(
        id=mention["id"],
        words=mention["words"],
        sentence=mark(mention["sentence"], mention["words"]),
        kind=mention["image_kind"] or "",
        entity=entity["name"],
        mention_picture=viewer.picture(mention["picture"], THUMBNAIL),
        entity_picture=viewer.picture(entity["picture"], THUMBNAIL),
        ranks=ranks,
        views=views,
    )
