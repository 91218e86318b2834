"""Every test mention that a run ranks wrongly, for a page on which they are looked through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.datasets.flags import FLAGS
from stages.datasets.records import Records
from stages.report.cases import Marked, mark
from stages.report.results import Results
from stages.runs.predictions import TOP, of_each

RANKS = ((2, 5), (6, 20), (21, None))
"""Ranks that are chosen together."""


@dataclass(frozen=True)
class Wrong:
    """A test mention whose entity is not the first one.

    Args:
        entity, answer: names of the right and of the best entity; scores: of the best one, and what
            the right one lies behind, where it is among the best TOP.
        flags: as a reader filters by them, divided by blanks.
    """

    id: str
    sentence: Marked
    words: str
    entity: str
    answer: str
    answer_id: str
    rank: float
    behind: float | None
    probability: float | None
    kind: str
    seen: bool
    flags: str


@dataclass(frozen=True)
class Errors:
    """Of one run; `problem` says why there are none to show."""

    variant: str
    seed: int
    mentions: int
    wrong: list[Wrong]
    kinds: list[str]
    flags: dict[str, str]
    problem: str = ""


def find_errors(results: Results, records: Records) -> Errors:
    """The errors of the variant that the cases compare, or of the first one, with its first seed.

    Raises:
        DamagedError: its predictions are not as they were written, or none.
    """
    variant, seed = results.compared or results.variants[0], results.seeds[0]
    run = results.runs[variant, seed]
    n = len(run.ranks)
    predictions = run.predictions()
    if predictions is None:
        why = "an earlier version evaluated the run; evaluate it again"
        return Errors(variant, seed, n, [], [], {}, why)
    seen = np.isin(records.gold("test"), records.gold("train"))
    mentions = records.mentions["test"].to_pylist()
    names = records.entities["name"].to_pylist()
    wrong = [
        _wrong(mentions[row], names[mentions[row]["gold"]], predictions[row], rank, seen[row])
        for row, rank in enumerate(run.ranks.tolist())
        if rank > 1
    ]
    wrong.sort(key=lambda one: -one.rank)
    met = {flag for one in wrong for flag in one.flags.split()}
    kinds = [kind for kind in results.kinds if any(one.kind == kind for one in wrong)]
    flags = {flag: what for flag, what in FLAGS.items() if flag in met}
    return Errors(variant, seed, n, wrong, kinds, flags)


def _wrong(
    mention: dict[str, object], entity: str, said: dict[str, str], rank: float, seen: bool
) -> Wrong:
    places = {said[of_each("entity", k)]: k for k in range(1, TOP + 1)}
    own = places.get(said["gold"])
    best = float(said[of_each("score", 1)])
    likely = said[of_each("probability", 1)]
    flags = mention["flags"]
    assert flags is None or isinstance(flags, list)
    return Wrong(
        id=str(mention["id"]),
        sentence=mark(str(mention["sentence"]), str(mention["words"])),
        words=str(mention["words"]),
        entity=entity,
        answer=said[of_each("name", 1)],
        answer_id=said[of_each("entity", 1)],
        rank=rank,
        behind=None if own is None else best - float(said[of_each("score", own)]),
        probability=float(likely) if likely else None,
        kind=str(mention["image_kind"] or ""),
        seen=bool(seen),
        flags=" ".join(flags or ()),
    )
