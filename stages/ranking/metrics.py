"""The registry of metrics, and their values overall and by part (section 4.2, Figure 5).

A metric is one entry of METRICS. Evaluation, tables, the report, ablations and early stopping read
it: what stands in metrics.json, what a table shows, what is told by part, what is tested.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TIES = "1 + the entities scored higher + half of the others scored equal"
"""How a rank counts ties: what a random order of the equal ones gives on average (realistic)."""


@dataclass(frozen=True)
class Metric:
    """One number of many ranks.

    Args:
        key: its name in metrics.json.
        title: its heading in tables.
        note: what it counts, for a reader.
        values: ranks (n,) -> what each mention contributes, (n,).
        reduce: values (n,), or (resamples, n) with an `axis`, -> their summary.
        range: its lowest and its highest value; a metric up to 1 is shown in percent.
        higher_is_better: its direction.
        ties: how the rank that it reads counts entities of equal score.
        shown: whether tables have a column of it.
        by_part: whether it is also told by part, by sweep and with an interval.
        tested: whether paired tests and early stopping go by it. Exactly one is; it is told by
            part.
    """

    key: str
    title: str
    note: str
    values: Callable[[np.ndarray], np.ndarray]
    reduce: Callable[..., Any] = np.mean
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    ties: str = TIES
    shown: bool = True
    by_part: bool = False
    tested: bool = False

    def of(self, ranks: np.ndarray) -> float:
        """The metric of `ranks (n,)`; 0 of no rank at all."""
        return float(self.reduce(self.values(ranks))) if len(ranks) else 0.0

    @property
    def scale(self) -> float:
        """From the value to what a table shows: percent of a rate, else the value itself."""
        return 100.0 if self.range[1] <= 1 else 1.0

    @property
    def axis(self) -> str:
        """The title with its unit."""
        return f"{self.title}, %" if self.scale > 1 else self.title


def _hits(k: int, shown: bool = True, by_part: bool = False) -> Metric:
    note = "the share of mentions whose entity comes first" if k == 1 else f"among the first {k}"
    return Metric(
        f"hits@{k}", f"H@{k}", note, lambda ranks: ranks <= k, shown=shown, by_part=by_part
    )


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        _hits(1, by_part=True),
        _hits(3),
        _hits(5),
        _hits(10, shown=False),
        _hits(20, shown=False),
        Metric(
            "mrr", "MRR", "the mean of 1 / rank", lambda ranks: 1 / ranks, by_part=True, tested=True
        ),
        Metric(
            "mr", "mean rank", "the mean rank", lambda ranks: ranks,
            range=(1.0, np.inf), higher_is_better=False, shown=False,
        ),
    )
}  # fmt: skip
"""By key, in the order of metrics.json and of every table."""


def shown() -> list[Metric]:
    """Those with a column in tables."""
    return [metric for metric in METRICS.values() if metric.shown]


def by_part() -> list[Metric]:
    """Those told by part; the first one is the headline of a report."""
    return [metric for metric in METRICS.values() if metric.by_part]


def deciding() -> Metric:
    """The one that decides between runs and between epochs."""
    return next(metric for metric in METRICS.values() if metric.tested)


def validated() -> list[Metric]:
    """What a history has of each epoch as `valid_<key>`: the tested metric, then the headline."""
    return list(dict.fromkeys((deciding(), by_part()[0])))


def metrics(ranks: np.ndarray, entities: int) -> dict[str, Any]:
    """Every metric by its key, after the counts of mentions and entities.

    Args:
        ranks: (mentions,), 1 = first; ties give halves.
    """
    counts = {"mentions": len(ranks), "entities": entities}
    return counts | {key: metric.of(ranks) for key, metric in METRICS.items()}


def metrics_by_part(
    ranks: np.ndarray,
    entities: int,
    seen: np.ndarray,
    kinds: Sequence[str | None],
    clean: np.ndarray | None = None,
) -> dict[str, Any]:
    """`test`, `test_clean`, `test_seen`, `test_unseen`, and `test_image_<kind>` where kinds are
    known.

    Args:
        seen: (mentions,), whether the gold entity occurs in training.
        kinds: image_kind of each mention; `test_poor` sums up all kinds but `good`.
        clean: (mentions,), whether no leak makes the mention easier; None of records that were not
            audited.
    """
    found = {"test": metrics(ranks, entities)}
    if clean is not None:
        found["test_clean"] = metrics(ranks[clean], entities)
    found |= {
        "test_seen": metrics(ranks[seen], entities),
        "test_unseen": metrics(ranks[~seen], entities),
    }
    of = np.array([kind or "" for kind in kinds], dtype=object)
    for kind in sorted(set(of) - {""}):
        found[f"test_image_{kind}"] = metrics(ranks[of == kind], entities)
    poor = (of != "") & (of != "good")
    if poor.any():
        found["test_poor"] = metrics(ranks[poor], entities)
    return found
