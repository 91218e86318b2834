"""How sure a grid's differences are: intervals and paired tests over the test mentions.

A mention's value is its mean over a run's seeds, so mentions are what is resampled. An interval
says what another test set of this kind might have shown; the standard deviation, which the table
has as well, says what other seeds do.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from stages.ranking.metrics import Metric

RESAMPLES = 4999
LEVEL = 0.95
AT_ONCE = 256
"""Resamples held at a time: some 10 MB at WikiMEL's size."""


def per_mention(metric: Metric, ranks: Sequence[np.ndarray]) -> np.ndarray:
    """What each mention contributes to `metric`, mean over seeds: seeds x (n,) -> (n,)."""
    values = [metric.values(of_seed.astype(np.float64)) for of_seed in ranks]
    return np.asarray(np.mean(values, axis=0))


def interval(values: np.ndarray, reduce: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Percentile bootstrap of `values (n,)`, reduced; a single value is its own interval."""
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    found = stats.bootstrap(
        (values,),
        reduce,
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
