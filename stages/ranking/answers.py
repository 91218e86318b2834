"""The registry of metrics of answers that may be none: what probabilities are worth.

A mention is answered with its best entity where that one's probability reaches the threshold, and
with none else. An answer with an entity is right where that is the mention's own, so never for a
mention without one. An answer of none is right where the mention has none. The curve and the
calibration go by the best entity's probability alone, whatever the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS, BIN_MENTIONS = 15, 100
"""Of the calibration error: at most so many bins of equally many mentions, at least so many in
each. The share right of 60 mentions strays from their true probability by 0.05 on average."""
Z = 1.959964
"""Of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Answers:
    """n mentions.

    Args:
        probability: of the best entity, float (n,).
        nil: of none, float (n,).
        right: whether the best entity is the mention's own, bool (n,).
        linked: whether the mention has an entity, bool (n,).
    """

    probability: np.ndarray
    nil: np.ndarray
    right: np.ndarray
    linked: np.ndarray

    def __len__(self) -> int:
        return len(self.probability)

    def accepted(self, threshold: float | None) -> np.ndarray:
        """Which are answered with an entity, bool (n,); none without a threshold."""
        least = np.inf if threshold is None else threshold
        found: np.ndarray = self.probability >= least
        return found


@dataclass(frozen=True)
class AnswerMetric:
    """One number of many answers.

    Args:
        key: its name in metrics.json.
        title: its heading in tables.
        note: what it counts, for a reader.
        of: answers and which of them are accepted -> its value; None where it has none.
        higher_is_better: its direction.
    """

    key: str
    title: str
    note: str
    of: Callable[[Answers, np.ndarray], float | None]
    higher_is_better: bool = True


def _share(part: np.ndarray, of: np.ndarray) -> float | None:
    n = int(of.sum())
    return int((part & of).sum()) / n if n else None


def _f1(x: Answers, accepted: np.ndarray) -> float | None:
    """2 x right / (answered + linked), the harmonic mean of precision and recall."""
    total = int(accepted.sum()) + int(x.linked.sum())
    return 2 * int((x.right & accepted).sum()) / total if total else None


ANSWER_METRICS: dict[str, AnswerMetric] = {
    metric.key: metric
    for metric in (
        AnswerMetric(
            "precision", "precision", "right answers among those with an entity",
            lambda x, accepted: _share(x.right, accepted),
        ),
        AnswerMetric(
            "recall", "recall", "right answers among the mentions that have an entity",
            lambda x, accepted: _share(x.right & accepted, x.linked),
        ),
        AnswerMetric("f1", "F1", "the harmonic mean of the two", _f1),
        AnswerMetric(
            "nil_precision", "nil precision", "answers of none that are right",
            lambda x, accepted: _share(~x.linked, ~accepted),
        ),
        AnswerMetric(
            "nil_recall", "nil recall", "mentions without an entity that are answered so",
            lambda x, accepted: _share(~accepted, ~x.linked),
        ),
        AnswerMetric(
            "aurc", "AURC", "the mean risk over all coverages",
            lambda x, _: float(risk_coverage(x)[1].mean()) if len(x) else None,
            higher_is_better=False,
        ),
        AnswerMetric(
            "ece", "calibration error",
            f"the mean distance of probability and share right, over at most {BINS} bins",
            lambda x, _: calibration_error(x),
            higher_is_better=False,
        ),
    )
}  # fmt: skip
"""By key, in the order of metrics.json and of every table. All lie between 0 and 1."""


def answer_metrics(answers: Answers, threshold: float | None) -> dict[str, Any]:
    """Every metric by its key, after counts; `precision_interval` is Wilson's, of 95 %."""
    accepted = answers.accepted(threshold)
    found: dict[str, Any] = {
        "mentions": len(answers),
        "nil_mentions": int((~answers.linked).sum()),
        "answered": int(accepted.sum()),
    }
    found |= {key: metric.of(answers, accepted) for key, metric in ANSWER_METRICS.items()}
    right = int((answers.right & accepted).sum())
    return found | {"precision_interval": wilson(right, found["answered"])}


def risk_coverage(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Coverage k / n and the share wrong among the k likeliest answers, for each k, (n,) each.

    Of equal probabilities each counts as their mean does, so that no order of them matters.
    """
    _, right = _by_probability(answers)
    k = np.arange(1, len(answers) + 1)
    return k / max(1, len(answers)), np.cumsum(1 - right) / k


def reliability(answers: Answers) -> np.ndarray:
    """Mean probability, share right and mentions of each bin, likeliest last, (bins, 3)."""
    p, right = _by_probability(answers)
    count = min(BINS, max(1, len(p) // BIN_MENTIONS))
    bins = np.array_split(np.arange(len(p))[::-1], count)
    rows = [(p[b].mean(), right[b].mean(), len(b)) for b in bins if len(b)]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def calibration_error(answers: Answers) -> float | None:
    """Over bins of as many mentions each, the mean |mean probability - share right|."""
    if not len(answers):
        return None
    p, right, n = reliability(answers).T
    return float((np.abs(p - right) * n).sum() / n.sum())


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """Wilson's interval of a share, of 95 %; None of nothing."""
    if n == 0:
        return None
    share, z2 = successes / n, Z**2 / n
    middle = share + z2 / 2
    half = Z * (share * (1 - share) / n + z2 / (4 * n)) ** 0.5
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def _by_probability(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, highest first, and how far each is right: equal ones as their mean."""
    p, where = np.unique(-answers.probability, return_inverse=True)
    where = where.reshape(-1)
    counts = np.bincount(where, minlength=len(p))
    right = np.bincount(where, weights=answers.right, minlength=len(p)) / np.maximum(counts, 1)
    return np.repeat(-p, counts), np.repeat(right, counts)
