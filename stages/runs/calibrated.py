"""The calibration that an evaluation left, for who links or explains with the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.errors import DamagedError
from cache.sealed import Sealed
from stages.ranking.calibration import Calibration
from stages.runs.folder import MADE_FROM, PROBABILITY, UNCALIBRATED, RunFolder

CALIBRATED = "calibrated"


@dataclass(frozen=True)
class Known:
    """What is known of a run's probabilities.

    Args:
        calibration: None where there is none.
        words: `calibrated`, or so with what it does not fit, or `uncalibrated` and why.
    """

    calibration: Calibration | None
    words: str

    def of(self, scores: Sequence[float]) -> tuple[Sequence[float | None], float | None]:
        """The probability of each entity, best first, and of none of them; None where it is not
        known, as behind the candidates."""
        if self.calibration is None:
            return [None] * len(scores), None
        found, nil = self.calibration.of_best(scores)
        return [*found, *[None] * (len(scores) - len(found))], nil


def calibration_of(folder: RunFolder, records: str) -> Known:
    """Of the weights in the folder; of another knowledge base it is used, and said so.

    Args:
        records: the digest of those that are linked to.

    Raises:
        DamagedError: a file is not as it was written.
        MelovError: the metrics are of other weights.
    """
    try:
        sealed = folder.read_metrics()
    except FileNotFoundError:
        return _unknown(f"the run is not evaluated: {folder.evaluation}")
    said = sealed.content.get(PROBABILITY)
    if said is None:
        return _unknown(f"an earlier version evaluated the run: {folder.evaluation}")
    if isinstance(said, dict) and UNCALIBRATED in said:
        return _unknown(str(said[UNCALIBRATED]))
    found = _read(sealed, said)
    if sealed.content[MADE_FROM].get("records") != records:
        return Known(found, f"{CALIBRATED} on other records than these: {folder.evaluation}")
    return Known(found, CALIBRATED)


def _read(sealed: Sealed, said: Any) -> Calibration:
    try:
        temperature, nil = said["temperature"], said["nil"]
        if not _finite(temperature) or temperature <= 0:
            raise ValueError
        if nil is not None:
            bias, best, mean = nil
            if not all(map(_finite, (bias, best, mean))):
                raise ValueError
            nil = bias, best, mean
    except (TypeError, KeyError, ValueError):
        raise DamagedError(
            f"{sealed.path}: damaged: {PROBABILITY} holds no calibration", sealed.hint
        ) from None
    return Calibration(temperature, nil)


def _finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _unknown(why: str) -> Known:
    return Known(None, f"{UNCALIBRATED}: {why}")
