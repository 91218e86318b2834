"""Histograms of the graph of the training mentions: neighbors and similarities."""

from typing import Any

import matplotlib as mpl
import numpy as np
import scipy.sparse as sp
from matplotlib.figure import Figure

from stages.report.drawing import INK, SERIES, STYLE, WIDTH, Drawing, inline
from stages.shown import plot

BINS = 30


def draw_degrees(train: sp.csr_array) -> Drawing:
    """Stored neighbors of a mention; itself not counted."""
    degrees = np.diff(train.indptr) - (train.diagonal() != 0)
    most = int(degrees.max(initial=0))
    edges = np.arange(-0.5, most + 1).tolist() if most <= 2 * BINS else BINS
    title = "neighbours of a training mention"
    said = (
        f"{title}: median {np.median(degrees):g}, at most {most}, "
        f"none for {int((degrees == 0).sum()):,} of {len(degrees):,} mentions."
    )
    return _histogram(degrees, edges, title, "mentions", None, "graph-degrees", said)


def draw_similarities(train: sp.csr_array, taus: dict[str, float]) -> Drawing:
    """Similarity of every stored edge, each once, and where τ came to stand."""
    coo = train.tocoo()
    values = coo.data[coo.row < coo.col]
    edges = np.linspace(0, 1, BINS + 1).tolist()
    title = "similarity of a stored edge"
    said = f"{title}: {len(values):,} edges"
    if len(values):
        said += f", median {np.median(values):.3f}"
    for run, tau in taus.items():
        said += f"; τ of {run} ends at {tau:.3f}, {int((values > tau).sum()):,} edges above"
    return _histogram(values, edges, title, "edges", taus, "graph-similarities", said + ".")


def _histogram(
    values: np.ndarray,
    edges: list[float] | int,
    title: str,
    what: str,
    taus: dict[str, float] | None,
    name: str,
    said: str,
) -> Drawing:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.hist(values, bins=edges, color=SERIES[0], rwidth=0.9)
        axes.set_title(title, loc="left")
        axes.set_ylabel(what)
        locator: Any = axes.yaxis.get_major_locator()  # a MaxNLocator, which the stub does not say
        locator.set_params(integer=True)
        axes.yaxis.grid(True)
        axes.set_axisbelow(True)
        for place, (run, tau) in enumerate((taus or {}).items()):
            axes.axvline(
                tau, color=INK, ls=("-", "--", ":", "-.")[place % 4], label=f"τ, {plot(run)}"
            )
        if taus:
            figure.legend(loc="outside lower center", ncols=2)
        return inline(figure, name, said)
