"""Reads the runs of one data set back from their files: metrics, course of training, ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from cache.errors import MelovError
from stages.datasets.records import Records
from stages.heads.variants import VARIANTS
from stages.paths import DatasetPaths
from stages.ranking.metrics import shown
from stages.report.others import other_runs, same_settings
from stages.report.results import Results, Run
from stages.report.run_files import (
    read_answers,
    read_config,
    read_history,
    read_metrics,
    read_predictions,
    read_ranks,
)
from stages.runs.folder import MADE_FROM, RANKED, RunFolder
from stages.runs.yardsticks import yardsticks_of


def load_results(
    paths: DatasetPaths, variants: Sequence[str], seeds: Sequence[int], records: Records
) -> Results:
    """Read every run of the variants; one that lacks a seed is left out and named.

    Args:
        records: the present ones, of `paths.records`; a run that was made from others is refused.

    Raises:
        MelovError: no variant has all its runs; a run is unfinished, damaged, made from other
            records or evaluated before a metric was declared.
    """
    if not variants or not seeds:
        raise MelovError("no variants or no seeds to report", "name some in params.yaml")
    variants, seeds = tuple(dict.fromkeys(variants)), tuple(dict.fromkeys(seeds))
    folders = {(v, seed): RunFolder.of(paths, v, seed) for v in variants for seed in seeds}
    missing = {run: folder for run, folder in folders.items() if not folder.is_trained}
    left_out: dict[str, str] = {}
    for (variant, _), folder in missing.items():
        left_out.setdefault(variant, folder.command)
    there = tuple(variant for variant in variants if variant not in left_out)
    if not there:
        names = ", ".join(str(folder.path) for folder in missing.values())
        raise MelovError(
            f"no trained run: {names}",
            f"{left_out[variants[0]]}, then the same with pipeline.evaluate"
            + (", for each of them" if len(missing) > 1 else ""),
        )
    seeds_by = {v: same_settings({s: folders[v, s] for s in seeds}) for v in there}
    digest, mentions = records.digest, records.mentions["test"].num_rows
    runs = {
        run: _load_run(folder, VARIANTS[run[0]].trained, digest, mentions)
        for run, folder in folders.items()
        if run[0] in there and run[1] in seeds_by[run[0]]
    }
    _require_alike(runs, folders)
    averaged = {run: folders[run] for run in runs}
    others = other_runs(paths, averaged, digest)
    return Results(paths.dataset, there, seeds, runs, left_out, records.test_bed, seeds_by, others)


def _load_run(folder: RunFolder, trained: bool, records_digest: str, mentions: int) -> Run:
    train, evaluate = folder.command, folder.evaluation
    config = read_config(folder)
    history = read_history(config, folder.history.name)
    if not history and trained:
        raise MelovError(f"{folder.history}: no epoch", train)
    metrics = read_metrics(folder, evaluate)
    content = metrics.content
    if content[MADE_FROM].get("records") != records_digest:
        raise MelovError(f"{folder.metrics}: of other records than the present ones", evaluate)
    ranks = read_ranks(metrics, folder.ranks.name, content["test"]["entities"])
    if not len(ranks) == content["test"]["mentions"] == mentions:
        raise MelovError(
            f"{folder.path}: {len(ranks)} ranks and metrics of {content['test']['mentions']} "
            f"mentions, the records hold {mentions}",
            evaluate,
        )
    if missing := undeclared(content):
        raise MelovError(f"{folder.metrics}: {missing}", evaluate)
    predictions = partial(read_predictions, metrics, folder.predictions.name, mentions)
    run = Run(content, history, ranks, predictions=predictions)
    if run.uncalibrated:
        return run
    return replace(run, answers=read_answers(metrics, folder.probabilities.name))


def _require_alike(
    runs: Mapping[tuple[str, int], Run], folders: Mapping[tuple[str, int], RunFolder]
) -> None:
    """Runs of the same records have the same parts, of as many mentions."""
    first, *others = (
        (run, {part: m["mentions"] for part, m in read.metrics.items() if part.startswith("test")})
        for run, read in runs.items()
    )
    for run, parts in others:
        if parts != first[1]:
            raise MelovError(
                f"{folders[run].metrics}: other parts of the mentions than in "
                f"{folders[first[0]].metrics}",
                folders[run].evaluation,
            )


def undeclared(metrics: dict[str, Any]) -> str:
    """Which metrics of tables a run's metrics.json lacks, as words; empty where it has all."""
    systems = (metrics, *yardsticks_of(metrics).values())
    parts = [x for of in systems for part, x in of.items() if part.split("_")[0] in RANKED]
    missing = [m.title for m in shown() if any(m.key not in said for said in parts)]
    return f"was written without {', '.join(missing)}" if missing else ""
