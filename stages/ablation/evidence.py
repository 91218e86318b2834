"""How sure a grid's differences are: intervals and paired tests over the test mentions.

A mention's value is the mean over a run's seeds, so that what is resampled are mentions: the
interval says what another test set of the kind might have shown, the deviation beside it what other
seeds do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 4999
LEVEL = 0.95
AT_ONCE = 256
"""Resamples held at a time: some 10 MB at WikiMEL's size."""


def reciprocal(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Reciprocal rank of each mention, mean over seeds: seeds x (n,) -> (n,)."""
    return np.mean([1 / r.astype(np.float64) for r in ranks], axis=0)


def hits(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each mention's gold entity came first, mean over seeds, (n,)."""
    return np.mean([r <= 1 for r in ranks], axis=0)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap of the mean of `values (n,)`; a single value is its own interval."""
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        batch=AT_ONCE,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_test(values: np.ndarray, reference: np.ndarray) -> float:
    """p of the mean difference of paired (n,) and (n,), two-sided, by random changes of sign."""
    if np.array_equal(values, reference):
        return 1.0
    return float(
        stats.permutation_test(
            (values - reference,),
            np.mean,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            batch=AT_ONCE,
            rng=np.random.default_rng(0),
        ).pvalue
    )
