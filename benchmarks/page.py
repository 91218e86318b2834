"""The tables and the picture of docs/performance.md out of the benchmarks' JSON files.

python -m benchmarks.page benchmarks.json [more.json] --plot docs/time-by-step.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--plot", "picture", type=click.Path(path_type=Path))
def main(files: tuple[Path, ...], picture: Path | None) -> None:
    results: dict[str, Any] = {}
    for file in files:
        results |= json.loads(file.read_text())["results"]
    click.echo(markdown(results), nl=False)
    if picture is not None:
        plot(results, picture)


def markdown(results: dict[str, Any]) -> str:
    """Timings and marks of every benchmark, one table each."""
    lines: list[str] = []
    for result in results.values():
        lines += [f"### {result['name'].capitalize()}: {result['what']}", ""]
        lines += ["| contender | seconds | time / ours, median (range) |", "|---|---|---|"]
        for t in result["timings"]:
            span = f"{t['ratio']:.2f} ({t['ratio_min']:.2f} to {t['ratio_max']:.2f})"
            lines.append(f"| {t['name']} | {t['seconds']:.4g} | {span} |")
        lines += ["", "| mark | goal | found | |", "|---|---|---|---|"]
        for m in result["marks"]:
            word = "met" if m["met"] else "**missed**"
            lines.append(f"| {m['what']} | {m['goal']} | {m['found']} | {word} |")
        lines += ["", *(f"- {note}" for note in result["notes"]), ""]
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path) -> None:
    """Each contender's time over ours, a panel a benchmark, on one logarithmic scale."""
    shown = [r for r in results.values() if len(r["timings"]) > 1]
    heights = [len(r["timings"]) for r in shown]
    figure, panels = plt.subplots(
        len(shown),
        1,
        figsize=(8, 0.6 + 0.42 * sum(heights) + 0.35 * len(shown)),
        height_ratios=heights,
        sharex=True,
        layout="constrained",
        squeeze=False,
    )
    for axes, result in zip(panels[:, 0], shown, strict=True):
        _panel(axes, result)
    panels[-1, 0].set_xlabel("time over ours (logarithmic); right of the line is slower")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _panel(axes: Axes, result: dict[str, Any]) -> None:
    timings = result["timings"][::-1]
    names = [t["name"] for t in timings]
    ratios = [t["ratio"] for t in timings]
    colours = ["#1f6f8b" if t is timings[-1] else "#c9a26b" for t in timings]
    # Bars begin at 1, so that what is faster than ours points to the left.
    axes.barh(names, [r - 1 for r in ratios], left=1, color=colours)
    axes.set_xscale("log")
    axes.axvline(1, color="#444", linewidth=1)
    for place, ratio in enumerate(ratios):
        axes.annotate(
            f"{ratio:.3g}",
            (ratio, place),
            xytext=(4 if ratio >= 1 else -4, 0),
            textcoords="offset points",
            ha="left" if ratio >= 1 else "right",
            va="center",
            fontsize=8,
        )
    axes.set_title(result["name"], loc="left", fontsize=10, fontweight="bold")
    axes.tick_params(labelsize=8)
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
