"""Sweeps (Figure 3): runs of a grid that differ in one setting alone, as lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stages.ranking.metrics import by_part
from stages.report.drawing import MARKERS, NARROW, SERIES, STYLE, WIDTH, Drawing, inline
from stages.report.grids import GridReport
from stages.shown import plot

SYMBOLS = {"d_z": "d_z", "gcn_layers": "L, layers of the GCN", "lambda_g": "λ"}
"""The paper's names of the three settings in Figure 3."""


@dataclass(frozen=True)
class Sweep:
    """One setting and, for each variant, the grid's runs in the order of their values."""

    key: str
    values: tuple[Any, ...]
    runs: dict[str, dict[Any, str]]
    """variant -> value -> run."""

    @property
    def title(self) -> str:
        leaf = self.key.rpartition(".")[2]
        return SYMBOLS.get(leaf, leaf.replace("_", " "))


def find_sweeps(grid: GridReport) -> list[Sweep]:
    """Settings with at least two values; a run without settings of its own stands at its value."""
    found: dict[str, dict[str, dict[Any, str]]] = {}
    plain = []
    for run in grid.results.variants:
        settings = grid.settings[run]
        if len(settings) == 1:
            key, value = next(iter(settings.items()))
            of_variant = found.setdefault(key, {}).setdefault(grid.variant[run], {})
            of_variant[_hashable(value)] = run
        elif not settings:
            plain.append(run)
    sweeps = []
    for key, runs in found.items():
        section, _, leaf = key.partition(".")
        for run in plain:
            if grid.variant[run] in runs and leaf in grid.base[run].get(section, {}):
                value = _hashable(grid.base[run][section][leaf])
                runs[grid.variant[run]].setdefault(value, run)
        values = {value for of_variant in runs.values() for value in of_variant}
        if len(values) > 1:
            sweeps.append(Sweep(key, _ordered(values), runs))
    return sweeps


def draw_sweep(grid: GridReport, sweep: Sweep, name: str) -> Drawing:
    """Metrics by value, a panel each; whiskers of one standard deviation over the seeds.

    Values stand at equal distances, as in the paper: λ runs over powers of ten.
    """
    said = []
    place = {value: x for x, value in enumerate(sweep.values)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.1 * len(by_part())), layout="constrained")
        panels = figure.subplots(len(by_part()), 1, sharex=True)
        for axes, metric in zip(panels, by_part(), strict=True):
            for colour, (variant, runs) in enumerate(sweep.runs.items()):
                values = [value for value in sweep.values if value in runs]
                found = [(v, grid.results.rate(runs[v], "test", metric)) for v in values]
                known = [(value, rate) for value, rate in found if rate is not None]
                axes.errorbar(
                    [place[value] for value, _ in known],
                    [rate.mean for _, rate in known],
                    yerr=[rate.std or 0.0 for _, rate in known],
                    color=SERIES[colour % len(SERIES)], capsize=3,
                    marker=MARKERS[colour % len(MARKERS)], label=plot(variant),
                )  # fmt: skip
                numbers = ", ".join(f"{_spoken(value)}: {rate}" for value, rate in known)
                said.append(f"{variant}, {metric.title}: {numbers}")
            axes.set_ylabel(metric.axis)
            axes.margins(y=0.15)
            axes.grid(True)
        axes.set_xticks(range(len(sweep.values)), [plot(_spoken(v), NARROW) for v in sweep.values])
        axes.set(xlim=(-0.3, len(sweep.values) - 0.7), xlabel=plot(sweep.title))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return inline(figure, name, f"Sweep of {sweep.title}. " + "; ".join(said) + ".")


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _ordered(values: set[Any]) -> tuple[Any, ...]:
    """Numbers by size, anything else in the order of its words."""
    if all(isinstance(value, int | float) for value in values):
        return tuple(sorted(values))
    return tuple(sorted(values, key=_spoken))


def _spoken(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
