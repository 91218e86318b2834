"""Probabilities of a run's answers: fitted on validation, measured on validation and test.

`metrics.json` has the calibration under PROBABILITY, beside what it was made from: it is of the
run's weights and of the knowledge base that was ranked. `probabilities.npz` has the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.config import EvaluateConfig
from stages.ranking.answers import Answers, answer_metrics
from stages.ranking.best import BestScores
from stages.ranking.calibration import CANDIDATES, Calibration, fit, threshold_of
from stages.runs.folder import UNCALIBRATED


@dataclass(frozen=True)
class Probabilities:
    """What an evaluation knows of its answers.

    Args:
        best: by split, its mentions' best entities, those without an entity last.
        calibration: None where none can be fitted.
        said: what stands under PROBABILITY.
        arrays: of `probabilities.npz`. A split's arrays have its mentions in the order of `best`:
            `<split>_probability`, `<split>_nil`, `<split>_right`, `<split>_linked`.
    """

    best: dict[str, BestScores]
    calibration: Calibration | None
    said: dict[str, Any]
    arrays: dict[str, np.ndarray]


def probabilities(
    found: Mapping[str, tuple[BestScores, np.ndarray]], config: EvaluateConfig
) -> Probabilities:
    """Of validation and test.

    Args:
        found: by split, its mentions' best entities and their gold rows (`Ranked.best`).
    """
    scores = {split: best for split, (best, _) in found.items()}
    best, gold = found["valid"]
    calibration = fit(best.scores, best.entity == gold, gold >= 0)
    if calibration is None:
        why = "validation has no mention with an entity"
        return Probabilities(scores, None, {UNCALIBRATED: why}, {})
    answers = {split: _answers(calibration, *own) for split, own in found.items()}
    of = answers["valid"]
    threshold = threshold_of(of.probability, of.right, config.precision)
    said = {
        "temperature": calibration.temperature,
        "nil": calibration.nil,
        "candidates": CANDIDATES,
        "precision": config.precision,
        "threshold": threshold,
        **{split: answer_metrics(own, threshold) for split, own in answers.items()},
    }
    arrays = {
        f"{split}_{name}": array
        for split, own in answers.items()
        for name, array in (
            ("probability", own.probability.astype("f4")),
            ("nil", own.nil.astype("f4")),
            ("right", own.right.astype("u1")),
            ("linked", own.linked.astype("u1")),
        )
    }
    return Probabilities(scores, calibration, said, arrays)


def _answers(calibration: Calibration, best: BestScores, gold: np.ndarray) -> Answers:
    p, nil = calibration.probabilities(best.scores)
    return Answers(p[:, 0], nil, best.entity == gold, gold >= 0)
