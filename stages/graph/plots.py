"""Histograms of a graph: all similarities, those above the floor, neighbors of a mention."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cache.files import atomic_path
from stages.graph.distances import PAIRS
from stages.graph.graph import Graph, neighbor_counts
from stages.graph.similarity import Metric, similarity

SAMPLE = 50_000
"""Pairs drawn for the first histogram."""
BINS = np.linspace(0, 1, 51).tolist()
BARS, LINES = "#4878a8", ("#c44e52", "#dd8452")


def sample_similarities(
    x: np.ndarray, metric: Metric, count: int = SAMPLE, seed: int = 0
) -> np.ndarray:
    """Similarities of `count` pairs i ≠ j drawn from `x (n, d)`, n ≥ 2: float64 (count,)."""
    rng = np.random.default_rng(seed)
    i = rng.integers(len(x), size=count)
    j = (i + rng.integers(1, len(x), size=count)) % len(x)
    parts = [slice(first, first + PAIRS) for first in range(0, count, PAIRS)]
    return np.concatenate([similarity(metric, x[i[part]], x[j[part]]) for part in parts])


def plot_graph(graph: Graph, x: np.ndarray, path: Path, tau_init: float, seed: int = 0) -> None:
    """Draw the three histograms as a PNG; the same graph gives the same bytes.

    Args:
        x: training features (n, d) that the graph was built from.
        tau_init: where τ starts; marked next to the floor.
    """
    train = graph.train.tocoo()
    upper = train.row < train.col  # each pair once, without the diagonal
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    pairs, edges, degrees = figure.subplots(1, 3)

    sampled = sample_similarities(x, graph.metric, seed=seed)
    kept = float((sampled > graph.config.floor).mean())
    title = f"{len(sampled):,} random pairs, {kept:.1%} above the floor"
    draw_similarities(pairs, sampled, title, "pairs")
    title = f"{int(upper.sum()):,} stored edges"
    draw_similarities(edges, train.data[upper], title, "edges")
    for axes in (pairs, edges):
        floor = axes.axvline(graph.config.floor, color=LINES[0], linestyle="--")
        tau = axes.axvline(tau_init, color=LINES[1])
    names = [f"floor ({graph.config.floor:g})", f"τ at the start ({tau_init:g})"]
    figure.legend([floor, tau], names, loc="outside lower center", ncols=2, frameon=False)
    pairs.set_yscale("log")  # what stays is a small share of all pairs

    degree = neighbor_counts(graph.train)
    degrees.hist(degree, bins=np.arange(-0.5, degree.max() + 1.5), color=BARS)
    isolated = int((degree == 0).sum())
    degrees.set_title(f"mean {degree.mean():.1f}, {isolated:,} of {len(degree):,} isolated")
    label(degrees, "neighbours of a training mention", "mentions")
    for axes in (edges, degrees):
        axes.yaxis.get_major_locator().set_params(integer=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw_similarities(axes: Axes, values: np.ndarray, title: str, what: str) -> None:
    axes.hist(values, bins=BINS, color=BARS)
    axes.set_xlim(0, 1)
    axes.set_title(title)
    label(axes, "similarity", what)


def label(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
