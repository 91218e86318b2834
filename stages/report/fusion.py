"""Fusion weights (eq. 6) by the kind of the mention's picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from stages.datasets.records import Records
from stages.report.drawing import NARROW, SERIES, STYLE, WIDTH, Drawing, inline
from stages.report.results import KINDS
from stages.shown import plot


@dataclass(frozen=True)
class FusionFacts:
    """Mean weight of each source: a row a kind of picture, in the order of every table.

    rows: (kind, mentions, mean weight by source).
    """

    run: str
    sources: tuple[str, ...]
    rows: list[tuple[str, int, list[float]]]
    drawing: Drawing


def fusion_facts(run: str, weights: Mapping[str, np.ndarray], records: Records) -> FusionFacts:
    """Means over the test mentions; where no kind is known, over those with and without a picture.

    Args:
        weights: source -> (test mentions,).
    """
    test = records.mentions["test"]
    kinds = np.array([kind or "" for kind in test["image_kind"].to_pylist()])
    if not any(kinds):
        kinds = np.where(test["picture"].to_numpy() >= 0, "with a picture", "without a picture")
    order = [kind for kind in KINDS if kind in kinds]
    order += sorted(set(kinds.tolist()) - {*KINDS, ""})
    of_kind = [("all", np.ones(len(kinds), dtype=bool)), *((kind, kinds == kind) for kind in order)]
    rows = [
        (kind.replace("_", " "), int(mask.sum()), [float(w[mask].mean()) for w in weights.values()])
        for kind, mask in of_kind
    ]
    sources = tuple(weights)
    return FusionFacts(run, sources, rows, _draw(run, sources, rows))


def _draw(run: str, sources: tuple[str, ...], rows: list[tuple[str, int, list[float]]]) -> Drawing:
    said = "; ".join(
        f"{kind}: " + ", ".join(f"{s} {w:.2f}" for s, w in zip(sources, means, strict=True))
        for kind, _, means in rows
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.8 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(rows))
        for place, source in enumerate(sources):
            means = np.array([weights[place] for _, _, weights in rows])
            axes.barh(
                range(len(rows)), means, 0.7, left=left, color=SERIES[place], label=plot(source)
            )
            left += means
        axes.set_yticks(range(len(rows)), [plot(kind, NARROW) for kind, _, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.2)
        return inline(figure, "fusion", f"Mean fusion weights of {run}. {said}.")
