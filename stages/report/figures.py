"""Figures of a report as SVG inside the page, in the page's own colours.

Colours are written as marks that `inline` turns into the page's CSS variables, so one drawing
serves the light and the dark scheme.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from stages.report.results import Results, part_name

INK, GRID = "#00aa01", "#00aa02"
SERIES = tuple(f"#00bb{place:02x}" for place in range(1, 7))
"""Marks of the variants' colours: --series-1 to --series-6 of the page."""
PAGE_COLOURS = {INK: "currentColor", GRID: "var(--line)"} | {
    mark: f"var(--series-{place})" for place, mark in enumerate(SERIES, 1)
}
MARKERS = "osD^vX"
STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, in the page's font
    "svg.hashsalt": "melov",  # ids that do not change from one drawing to the next
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
}
WIDTH = 4.6
"""Inches: narrow enough to stay readable on a phone."""


@dataclass(frozen=True)
class Drawing:
    """An `<svg>` element and what it shows, in words."""

    svg: str
    label: str


def variant_mark(results: Results, variant: str) -> str:
    return SERIES[results.variants.index(variant) % len(SERIES)]


def bars(results: Results, parts: Sequence[str], metric: str, name: str, label: str) -> Drawing:
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
                color=variant_mark(results, variant), label=variant,
            )  # fmt: skip
            for y, mean, std in zip(at, means, stds, strict=True):
                axes.text(mean + std + 1, y, f"{mean:.1f}", va="center", fontsize=8)
        axes.set_yticks(groups, [f"{spoken(part)} ({results.mentions(part):,})" for part in parts])
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
    """The course of training: one panel of validation a variant, then loss and τ of all."""
    longest = max(len(run.history) for run in results.runs.values())
    every = [row for run in results.runs.values() for row in run.history]
    low = min(min(row["valid_mrr"], row["valid_hits@1"]) for row in every)
    high = max(max(row["valid_mrr"], row["valid_hits@1"]) for row in every)
    margin = 5 * max(high - low, 0.02)
    limits = (max(0.0, 100 * low - margin), min(100.0, 100 * high + margin))
    drawings = [
        _validation(results, variant, longest, limits, f"curve-{place}")
        for place, variant in enumerate(results.variants)
    ]
    drawings.append(_together(results, "loss_e", "training loss, eq. 7", longest, "curve-loss"))
    if any("tau" in row for row in every):
        drawings.append(_together(results, "tau", "threshold τ", longest, "curve-tau"))
    return drawings


def _validation(
    results: Results, variant: str, longest: int, limits: tuple[float, float], name: str
) -> Drawing:
    """MRR and H@1 on validation, a line each a seed; a ring at the epoch that was kept."""
    mark = variant_mark(results, variant)
    said = []
    with mpl.rc_context(STYLE):
        figure, axes = _panel(variant, longest)
        for seed in results.seeds:
            run = results.runs[variant, seed]
            for column, line in (("valid_mrr", "-"), ("valid_hits@1", "--")):
                epochs, values = _course(run.history, column, 100)
                axes.plot(epochs, values, line, color=mark, marker=".")
            best = run.best_epoch
            axes.plot(
                best["epoch"], 100 * best["valid_mrr"], "o", ms=9, mfc="none", mec=INK, ls="none"
            )
            said.append(
                f"seed {seed}: best validation MRR {100 * best['valid_mrr']:.2f} "
                f"in epoch {best['epoch']:.0f} of {len(run.history)}"
            )
        for line, text in (("-", "MRR"), ("--", "H@1")):
            axes.plot([], [], line, color=mark, label=text)
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
            for seed in results.seeds:
                epochs, values = _course(results.runs[variant, seed].history, column)
                if not values:
                    continue
                axes.plot(
                    epochs, values, color=variant_mark(results, variant), ms=4,
                    marker=MARKERS[place % len(MARKERS)],
                    label=variant if seed == results.seeds[0] else None,
                )  # fmt: skip
                said.append(f"{variant}, seed {seed}: {values[0]:.3f} to {values[-1]:.3f}")
        axes.margins(y=0.1)
        figure.legend(loc="outside lower center", ncols=3)
        return inline(figure, name, f"{title} by epoch. " + "; ".join(said) + ".")


def _panel(title: str, longest: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left")
    axes.set(xlim=(0.5, longest + 0.5), xlabel="epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True)
    return figure, axes


def _course(
    history: list[dict[str, float]], column: str, scale: float = 1
) -> tuple[list[float], list[float]]:
    rows = [row for row in history if column in row]
    return [row["epoch"] for row in rows], [scale * row[column] for row in rows]


def inline(figure: Figure, name: str, label: str) -> Drawing:
    """The figure as an element of a page: ids of its own, the page's font and colours."""
    FigureCanvasSVG(figure)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: (?:bold |\d+ )*([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r" ?font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub("|".join(PAGE_COLOURS), lambda found: PAGE_COLOURS[found[0]], svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg).strip()
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns(?::xlink)?)="[^"]*"', "", opening)
    said = html.escape(label, quote=True)
    return Drawing(f'{opening} role="img" aria-label="{said}">{rest}', label)
