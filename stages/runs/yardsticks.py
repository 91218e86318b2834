"""What every trained run has to beat: systems that learn nothing, ranked beside it.

A knowledge base of one's own may have few mentions, and heads trained on them can lose to the
names alone. So each `metrics.json` of a trained run has these figures of the same mentions and the
same entities, under `untrained`, and whoever shows the run's figures shows them too. No torch is
needed here, since a report needs none.
"""

from collections.abc import Mapping
from typing import Any

from stages.ranking.metrics import deciding

UNTRAINED = "untrained"
"""Their key in metrics.json: by name, then as the run's own parts."""

REMEDY = (
    "what may help: train.preset=strong with no values of one's own, more labelled mentions, "
    "or --variant {}"
)


def yardsticks_of(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those in a run's `metrics.json`; none beside what is untrained itself, or older."""
    found: dict[str, dict[str, Any]] = metrics.get(UNTRAINED, {})
    return found


def figures(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """The deciding metric of validation and of test."""
    key = deciding().key
    return metrics["valid"][key], metrics["test"][key]


def warning(
    run: str, trained: tuple[float, float], beside: Mapping[str, tuple[float, float]]
) -> str | None:
    """One line where a yardstick is ahead of a trained run on validation; None where none is.

    Args:
        trained: as `figures` gives them, of the run; `beside`: of each yardstick.
    """
    metric = deciding()
    sign = 1 if metric.higher_is_better else -1
    best = max(beside, key=lambda name: sign * beside[name][0], default=None)
    if best is None or sign * beside[best][0] <= sign * trained[0]:
        return None
    (valid, test), (valid_of, test_of) = (
        (f"{metric.scale * value:.2f}" for value in pair) for pair in (beside[best], trained)
    )
    return (
        f"{best}, which learns nothing, is ahead of {run}: {metric.title} {valid} against "
        f"{valid_of} on validation, {test} against {test_of} on test; {REMEDY.format(best)}"
    )
