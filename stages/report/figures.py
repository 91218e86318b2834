"""Bars and curves of a data set's runs."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.ranking.metrics import Metric, deciding, validated
from stages.report.drawing import (
    INK,
    MARKERS,
    NARROW,
    STYLE,
    WIDTH,
    Drawing,
    inline,
    variant_mark,
)  # fmt: skip
from stages.report.results import Results, part_name
from stages.shown import plot


def bars(results: Results, parts: Sequence[str], metric: Metric, name: str, label: str) -> Drawing:
    """Horizontal bars of one metric: a group a part, a bar a variant, whiskers of one std."""
    parts = [part for part in parts if results.mentions(part)]
    thick, groups = 0.8 / len(results.variants), range(len(parts))
    with mpl.rc_context(STYLE):
        height = 0.75 + len(parts) * (0.2 * len(results.variants) + 0.12)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        for place, variant in enumerate(results.variants):
            rates = [results.rate(variant, part, metric) for part in parts]
            means = [rate.mean for rate in rates if rate is not None]
            stds = [rate.std or 0.0 for rate in rates if rate is not None]
            at = [group - 0.4 + (place + 0.5) * thick for group in groups]
            axes.barh(
                at, means, thick * 0.9, xerr=stds if any(stds) else None, ecolor=INK,
                color=variant_mark(results, variant), label=plot(variant),
            )  # fmt: skip
            for y, mean, std in zip(at, means, stds, strict=True):
                axes.text(mean + std + 1, y, f"{mean:.1f}", va="center", fontsize=8)
        names = [plot(spoken(part), NARROW) for part in parts]
        counts = [f"{results.mentions(part):,}" for part in parts]
        axes.set_yticks(groups, [f"{n} ({c})" for n, c in zip(names, counts, strict=True)])
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 108), xticks=range(0, 101, 25), ylim=(len(parts) - 0.4, -0.6))
        axes.xaxis.grid(True)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        columns = min(3, len(results.variants))
        figure.legend(loc="outside upper left", ncols=columns, handlelength=1.2)
        return inline(figure, name, label)


def spoken(part: str) -> str:
    """A part's name as a reader says it: `low_value` is `low value`."""
    return part_name(part).replace("_", " ")


def curves(results: Results) -> list[Drawing]:
    """The course of training: one panel of validation a variant, then the loss of all."""
    longest = max(run.epochs for run in results.runs.values())
    every = [row for run in results.runs.values() for row in run.history]
    if not every:  # only variants without a weight
        return []
    values = [row[f"valid_{metric.key}"] for metric in validated() for row in every]
    low, high = min(values), max(values)
    margin = 5 * max(high - low, 0.02)
    limits = (max(0.0, 100 * low - margin), min(100.0, 100 * high + margin))
    drawings = [
        _validation(results, variant, longest, limits, f"curve-{place}")
        for place, variant in enumerate(results.variants)
        if results.runs[variant, results.seeds[0]].history
    ]
    drawings.append(_together(results, "loss_e", "training loss, eq. 7", longest, "curve-loss"))
    return drawings


def tau_curve(results: Results) -> Drawing | None:
    """τ after each epoch (eq. 4); None where no run has one."""
    runs = results.runs.values()
    if not any("tau" in row for run in runs for row in run.history):
        return None
    longest = max(run.epochs for run in runs)
    return _together(results, "tau", "threshold τ", longest, "curve-tau")


def _validation(
    results: Results, variant: str, longest: int, limits: tuple[float, float], name: str
) -> Drawing:
    """Metrics on validation, a line each a seed; a ring at the epoch that was kept."""
    mark, decides = variant_mark(results, variant), deciding()
    lines = list(zip(validated(), ("-", "--"), strict=False))
    said = []
    with mpl.rc_context(STYLE):
        figure, axes = _panel(variant, longest)
        for seed in results.seeds_of(variant):
            run = results.runs[variant, seed]
            for metric, line in lines:
                epochs, values = _course(run.history, f"valid_{metric.key}", metric.scale)
                axes.plot(epochs, values, line, color=mark, marker=".")
            best = run.best_epoch
            peak = decides.scale * best[f"valid_{decides.key}"]
            axes.plot(best["epoch"], peak, "o", ms=9, mfc="none", mec=INK, ls="none")
            said.append(
                f"seed {seed}: best validation {decides.title} {peak:.2f} "
                f"in epoch {best['epoch']:.0f} of {run.epochs}"
            )
        for metric, line in lines:
            axes.plot([], [], line, color=mark, label=metric.title)
        axes.plot([], [], "o", ms=9, mfc="none", mec=INK, label="kept")
        axes.set(ylim=limits, ylabel="validation, %")
        figure.legend(loc="outside lower center", ncols=3)
        return inline(figure, name, f"Training of {variant}. " + "; ".join(said) + ".")


def _together(results: Results, column: str, title: str, longest: int, name: str) -> Drawing:
    """One quantity of all runs: a colour and a marker a variant."""
    said = []
    with mpl.rc_context(STYLE):
        figure, axes = _panel(title, longest)
        for place, variant in enumerate(results.variants):
            for seed in results.seeds_of(variant):
                epochs, values = _course(results.runs[variant, seed].history, column)
                if not values:
                    continue
                axes.plot(
                    epochs, values, color=variant_mark(results, variant), ms=4,
                    marker=MARKERS[place % len(MARKERS)],
                    label=plot(variant) if seed == results.seeds[0] else None,
                )  # fmt: skip
                said.append(f"{variant}, seed {seed}: {values[0]:.3f} to {values[-1]:.3f}")
        axes.margins(y=0.1)
        figure.legend(loc="outside lower center", ncols=3)
        return inline(figure, name, f"{title} by epoch. " + "; ".join(said) + ".")


def _panel(title: str, longest: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(plot(title), loc="left")
    axes.set(xlim=(-0.5, longest + 0.5), xlabel="epoch")
    locator: Any = axes.xaxis.get_major_locator()  # a MaxNLocator, which the stub does not say
    locator.set_params(integer=True)
    axes.grid(True)
    return figure, axes


def _course(
    history: list[dict[str, float]], column: str, scale: float = 1
) -> tuple[list[float], list[float]]:
    rows = [row for row in history if column in row]
    return [row["epoch"] for row in rows], [scale * row[column] for row in rows]
