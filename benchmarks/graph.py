"""The similarity graph: all pairs exactly, against the bare matrix products and scikit-learn; the
approximate backend at a size beyond that; how both grow with the mentions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.neighbors import radius_neighbors_graph

from benchmarks.compare import Mark, PeakMemory, Result, at_least, at_most, compare, ratio_of
from benchmarks.machine import gemm_rate
from benchmarks.sentences import sentence_like
from stages.graph.build import build_rows
from stages.graph.probes import tuned_index
from stages.graph.similarity import Metric, make_metric

D = 512
STRIP = 1024
FLOOR, NEIGHBOURS = 0.05, 32
MEAN_DEGREE = 20
"""Of the bandwidth that is chosen: what a real graph has."""
SAMPLE = 200
"""Rows whose recall is counted."""
NEAR_RADIUS = 1e-4
"""Relative: scikit-learn's float32 distances may put such an edge on either side."""


@dataclass(frozen=True)
class Size:
    """mentions: of the comparison; beyond: of the approximate backend; the rest: of the slopes."""

    mentions: int
    beyond: int
    exact: tuple[int, ...]
    approximate: tuple[int, ...]


QUICK = Size(6_000, 20_000, (2_000, 4_000, 8_000, 16_000), (2_500, 5_000, 10_000, 20_000))
FULL = Size(18_092, 200_000, (9_000, 18_000, 36_000, 72_000), (25_000, 50_000, 100_000, 200_000))


def run(full: bool, rounds: int) -> Result:
    size = FULL if full else QUICK
    n = size.mentions
    x = sentence_like(n, D)
    metric, radius = metric_for(x)
    with PeakMemory() as peak:
        edges = exact(x, metric, None)
    boundary = check_equal(edges, peer_graph(x, radius), radius, metric)
    timings = compare(
        {
            "ours": lambda: exact(x, metric, None),
            "GEMMs alone": lambda: products(x),
            "scikit-learn": lambda: peer_graph(x, radius),
        },
        rounds,
    )
    flops = n**2 * D  # of each pair once; the bare products do all twice
    beyond, marks, facts = measure_beyond(size.beyond)
    scaling = {
        "exact": slope_of(size.exact, lambda x, metric: exact(x, metric, NEIGHBOURS)),
        "approximate": slope_of(size.approximate, approximate),
    }
    return Result(
        "graph",
        f"edges above {FLOOR} of {n:,} mentions, {D} features, {edges.nnz / n - 1:.1f} a mention",
        timings,
        [
            at_most(
                "time over the bare matrix products'", 1 / ratio_of(timings, "GEMMs alone"), 2.5
            ),
            at_least("against scikit-learn", ratio_of(timings, "scikit-learn"), 2.5),
            at_most("peak memory beyond the features", peak.grown_gib, 1, " GiB"),
            *marks,
            at_most("exact: slope of log time", scaling["exact"]["slope"], 2.3, ""),
            at_most("approximate: slope of log time", scaling["approximate"]["slope"], 1.5, ""),
        ],
        [
            f"{flops / 1e9:.0f} GFLOP of products, each pair once, in {timings[0].seconds:.2f} s, "
            f"{flops / timings[0].seconds / gemm_rate(torch.float32):.0%} of the GEMM peak; "
            f"features {mib(x.nbytes)}, all scores would be {mib(4 * n**2)}, a strip of them "
            f"{mib(4 * n * STRIP)}, edges {mib(8 * edges.nnz)}",
            f"same edges as scikit-learn, but for {boundary} within {NEAR_RADIUS:g} of the radius",
            f"approximate: {facts}",
            *(f"{name}: {line(table)}" for name, table in scaling.items()),
        ],
        {"scaling": scaling, "beyond": beyond},
    )


def exact(x: np.ndarray, metric: Metric, k: int | None) -> sp.csr_array:
    return build_rows(x, x, metric, FLOOR, k, STRIP, same=True)


def approximate(x: np.ndarray, metric: Metric) -> tuple[sp.csr_array, dict[str, float]]:
    index, facts = tuned_index(x, metric, FLOOR, NEIGHBOURS)
    return build_rows(x, x, metric, FLOOR, NEIGHBOURS, same=True, index=index), facts


def products(x: np.ndarray) -> None:
    """What any exact route through BLAS pays at least: x xᵀ in strips, each thrown away."""
    buffer = np.empty((STRIP, len(x)), np.float32)
    for start in range(0, len(x), STRIP):
        rows = x[start : start + STRIP]
        np.matmul(rows, x.T, out=buffer[: len(rows)])


def peer_graph(x: np.ndarray, radius: float) -> sp.csr_matrix:
    return radius_neighbors_graph(x, radius, mode="distance")


def metric_for(x: np.ndarray) -> tuple[Metric, float]:
    """The kernel whose floor leaves MEAN_DEGREE neighbors on average, and the floor's distance."""
    rows = np.random.default_rng(1).choice(len(x), 256, replace=False)
    square = (x.astype(np.float64) ** 2).sum(axis=1)
    distances = square[rows, None] + square - 2 * (x[rows] @ x.T)
    place = len(rows) * (MEAN_DEGREE + 1)  # each finds itself as well
    radius = math.sqrt(np.partition(distances.ravel(), place)[place])
    bandwidth = radius / math.sqrt(-2 * math.log(FLOOR))
    return make_metric("kernel", bandwidth, 1.0), radius


def check_equal(ours: sp.csr_array, theirs: sp.csr_matrix, radius: float, metric: Metric) -> int:
    """Edges that one of the two lacks; raises where one does not lie on the radius itself."""
    mine = sp.csr_array(ours - sp.eye_array(ours.shape[0], dtype=np.float32))
    mine.eliminate_zeros()
    bound = metric.weigh(np.array([-((radius * (1 - NEAR_RADIUS)) ** 2)]))[0]
    only_mine = mine - mine.multiply(sp.csr_array(theirs) > 0)
    only_theirs = sp.csr_array(theirs) - sp.csr_array(theirs).multiply(mine > 0)
    inside = (only_mine.data > bound).sum() + (
        (only_theirs.data > 0) & (only_theirs.data < radius * (1 - NEAR_RADIUS))
    ).sum()
    if inside:
        raise AssertionError(f"{inside} edges differ from scikit-learn's within the radius")
    return int((only_mine.data > 0).sum() + (only_theirs.data > 0).sum())


def measure_beyond(n: int) -> tuple[dict[str, Any], list[Mark], str]:
    """The approximate backend once at `n` mentions: time, memory, recall."""
    x = sentence_like(n, D)
    metric, _ = metric_for(x)
    begun = time.perf_counter()
    with PeakMemory() as peak:
        graph, facts = approximate(x, metric)
    seconds = time.perf_counter() - begun
    recall = recall_of(graph, x, metric)
    values = {"mentions": n, "seconds": seconds, "recall": recall, "gib": peak.gib, **facts}
    what = f"approximate, {n:,} mentions"
    marks = [
        at_most(f"{what}: time", seconds / 60, 15, " min"),
        at_least(f"{what}: recall of exact edges", recall, 0.95, ""),
        at_most(f"{what}: memory, features included", peak.gib, 8, " GiB"),
    ]
    words = (
        f"{facts['cells']} cells, {facts['probes']} read a query, {seconds:.1f} s, "
        f"{graph.nnz / n - 1:.1f} edges a mention, {peak.gib:.2f} GiB"
    )
    return values, marks, words


def recall_of(graph: sp.csr_array, x: np.ndarray, metric: Metric) -> float:
    """Share of the exact edges of SAMPLE rows that `graph` has; their values must be bit-equal."""
    rows = np.sort(np.random.default_rng(2).choice(len(x), SAMPLE, replace=False))
    proposed = proposals(rows, x, metric)
    others = np.unique(proposed.indices)
    back = sp.csr_array(proposals(others, x, metric)[:, rows].T)  # row, place in others
    true = proposed[:, others].minimum(back)
    found = sp.csr_array(graph[rows][:, others])
    shared = true.multiply(found > 0)
    if (shared != found.multiply(true > 0)).nnz:
        raise AssertionError("an edge's value differs between the backends")
    return shared.nnz / true.nnz


def proposals(rows: np.ndarray, x: np.ndarray, metric: Metric) -> sp.csr_array:
    """The exact nearest NEIGHBOURS of some rows, themselves left out: (rows, n)."""
    found = build_rows(x[rows], x, metric, FLOOR, NEIGHBOURS + 1, STRIP // 8).tocoo()
    keep = found.col != rows[found.row]
    place = found.row[keep], found.col[keep]
    return sp.csr_array((found.data[keep], place), shape=found.shape)


def slope_of(sizes: tuple[int, ...], build: Callable[[np.ndarray, Metric], Any]) -> dict[str, Any]:
    """Seconds at each size, the better of two, and the slope of their logarithms."""
    seconds = []
    for n in sizes:
        x = sentence_like(n, D)
        metric, _ = metric_for(x)
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            build(x, metric)
            times.append(time.perf_counter() - begun)
        seconds.append(min(times))
    slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    return {"mentions": list(sizes), "seconds": seconds, "slope": slope}


def line(table: dict[str, Any]) -> str:
    pairs = zip(table["mentions"], table["seconds"], strict=True)
    return ", ".join(f"{n:,}: {s:.2f} s" for n, s in pairs) + f"; slope {table['slope']:.2f}"


def mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
