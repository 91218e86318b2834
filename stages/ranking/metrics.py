"""Hits, mean reciprocal rank and mean rank, overall and by part (section 4.2, Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

HITS = (1, 3, 5, 10, 20)


def metrics(ranks: np.ndarray, entities: int) -> dict[str, Any]:
    """Rates between 0 and 1; `mr` is the mean rank. Every rate of no mention at all is 0.

    Parameters
    ----------
    ranks: (mentions,), 1 = first; ties give halves.
    """
    some = len(ranks) > 0
    found: dict[str, Any] = {"mentions": len(ranks), "entities": entities}
    for k in HITS:
        found[f"hits@{k}"] = float(np.mean(ranks <= k)) if some else 0.0
    found["mrr"] = float(np.mean(1 / ranks)) if some else 0.0
    found["mr"] = float(np.mean(ranks)) if some else 0.0
    return found


def metrics_by_part(
    ranks: np.ndarray, entities: int, seen: np.ndarray, kinds: Sequence[str | None]
) -> dict[str, Any]:
    """`test`, `test_seen`, `test_unseen`, and `test_image_<kind>` where kinds are known.

    Parameters
    ----------
    seen: (mentions,), whether the gold entity occurs in training.
    kinds: image_kind of each mention; `test_image_poor` sums up all kinds but `good`.
    """
    found = {
        "test": metrics(ranks, entities),
        "test_seen": metrics(ranks[seen], entities),
        "test_unseen": metrics(ranks[~seen], entities),
    }
    of = np.array([kind or "" for kind in kinds], dtype=object)
    for kind in sorted(set(of) - {""}):
        found[f"test_image_{kind}"] = metrics(ranks[of == kind], entities)
    poor = (of != "") & (of != "good")
    if poor.any():
        found["test_image_poor"] = metrics(ranks[poor], entities)
    return found
