"""Exact ranks and metrics:  python -m pipeline.evaluate --dataset wikimel --variant melov"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cache.files import atomic_path
from pipeline.cli import command, echo, run_options
from stages.config import Params
from stages.device import heads_device
from stages.lazy import lazily
from stages.paths import DatasetPaths
from stages.ranking.answers import ANSWER_METRICS
from stages.ranking.metrics import shown
from stages.runs.by_processes import by_processes
from stages.runs.dataset import Dataset
from stages.runs.folder import PROBABILITY, UNCALIBRATED, RunFolder
from stages.runs.predictions import Predicted
from stages.runs.run import Run
from stages.runs.yardsticks import figures, warning, yardsticks_of
from stages.shown import one_line

export = lazily("stages.standards.export:export")
"""Only who asks for it needs it, and no evaluation depends on it."""


@command("Rank every mention of validation and test over the whole knowledge base.")
@run_options
@click.option(
    "--export", "form", type=click.Choice(["neleval", "nif"]),
    help="Also write what is right and what the run answers as files of that form, for other "
    "scorers, to exports/NAME/VARIANT-sSEED/.",
)  # fmt: skip
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 1024), metavar="N",
    help="Processes of this machine that share the ranking, and its threads.",
)  # fmt: skip
def main(
    params: Params, paths: DatasetPaths, variant: str, seed: int, form: str | None, workers: int
) -> None:
    opened = Dataset.open(paths)
    folder = RunFolder.of(paths, variant, seed)
    run = Run.open(folder, heads_device(params.evaluate.device))
    begun = time.perf_counter()
    written: list[Path] = []

    def taken(predicted: Mapping[str, Predicted]) -> None:
        if form is not None:
            written.extend(export(form, paths, folder.path.name, opened.records, predicted))

    found = run.evaluate(opened, params.evaluate, taken=taken, ranker=by_processes(workers))
    seconds = time.perf_counter() - begun
    with atomic_path(paths.figures(variant, seed)) as path:
        path.write_bytes(folder.metrics.read_bytes())
    for part, values in found.items():
        if isinstance(values, dict) and "mentions" in values:
            echo(_line(part, values))
    beside = yardsticks_of(found)
    for name, parts in beside.items():
        echo(_line(f"test, {name}", parts["test"]))
    for line in answers_shown(found[PROBABILITY]):
        echo(line)
    echo(f"ranked in {seconds:.3f} s")
    for file in written:
        echo(str(file))
    ahead = warning(variant, figures(found), {name: figures(of) for name, of in beside.items()})
    if ahead is not None:
        echo(f"warning: {ahead}", err=True)


def _line(part: str, values: dict[str, Any]) -> str:
    rates = "  ".join(f"{metric.title} {values[metric.key]:.4f}" for metric in shown())
    return f"{one_line(part):<26} n {values['mentions']:>5}  {rates}"


def answers_shown(said: dict[str, Any]) -> list[str]:
    """The calibration, and what answers are worth that may be none."""
    if UNCALIBRATED in said:
        return [f"probabilities: uncalibrated: {said[UNCALIBRATED]}"]
    least = said["threshold"]
    reached = "is not reached" if least is None else f"from probability {least:.4f} on"
    nil = "unknown" if said["nil"] is None else "known"
    lines = [
        f"temperature {said['temperature']:.4f}  "
        f"probability of none {nil}  "
        f"precision {said['precision']:g} on validation {reached}"
    ]
    for split in ("valid", "test"):
        rates = "  ".join(
            f"{m.title} {'-' if (x := said[split][m.key]) is None else f'{x:.4f}'}"
            for m in ANSWER_METRICS.values()
        )
        counts = f"n {said[split]['mentions']:>5}  nil {said[split]['nil_mentions']:>4}"
        lines.append(f"{split:<6} {counts}  {rates}")
    return lines


if __name__ == "__main__":
    main()
