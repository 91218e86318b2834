"""The runs of one data set, read back from their files: metrics, course of training, ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cache.errors import MelovError
from stages.datasets.records import Records
from stages.heads.variants import VARIANTS, YARDSTICKS
from stages.paths import DatasetPaths
from stages.ranking.answers import Answers
from stages.ranking.metrics import Metric, deciding, shown
from stages.report.others import OtherRun, other_runs, same_settings
from stages.report.rate import Rate
from stages.report.run_files import (
    read_answers,
    read_config,
    read_history,
    read_metrics,
    read_ranks,
)
from stages.runs.folder import MADE_FROM, PROBABILITY, RANKED, UNCALIBRATED, RunFolder
from stages.runs.yardsticks import warning, yardsticks_of

KINDS = ("good", "low_quality", "low_value", "low_relevance", "missing")
"""Values of `image_kind` (Figure 1) in the order of every table; others follow by name."""
BASELINE = "mimic"
"""The variant without any repair of pictures."""


@dataclass(frozen=True)
class Run:
    """One variant with one seed.

    ranks: (test mentions,), rank of the gold entity, in the order of the records.
    answers: of the test mentions; None where probabilities are not known.
    """

    metrics: dict[str, Any]
    history: list[dict[str, float]]
    ranks: np.ndarray
    answers: Answers | None = None

    @property
    def probability(self) -> dict[str, Any]:
        """What metrics.json says of probabilities; empty where an earlier version wrote it."""
        said: dict[str, Any] = self.metrics.get(PROBABILITY, {})
        return said

    @property
    def uncalibrated(self) -> str:
        """Why no probability is known; empty where they are."""
        why = "" if self.probability else "an earlier version evaluated it: evaluate it again"
        return str(self.probability.get(UNCALIBRATED, why))

    @property
    def epochs(self) -> int:
        """How many it was trained for; 0 where nothing is."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def best_epoch(self) -> dict[str, float]:
        """The epoch whose weights were kept: the first with the best value of the tested metric on
        validation; empty where nothing is trained."""
        return max(self.history, key=lambda row: row[f"valid_{deciding().key}"], default={})


@dataclass(frozen=True)
class Results:
    """All runs of a data set, variants and seeds in the order of the parameters.

    A grid of ablations is one, too: its runs stand where the variants do.

    left_out: what was asked for and lacks a trained run: variant -> the command that trains it.
    seeds_by: of a variant, the seeds whose settings agree; all of them where it has no entry.
    others: finished and unfinished runs that no mean holds.
    test_bed: whether the data set is one (`Records.test_bed`).
    """

    dataset: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: dict[tuple[str, int], Run]
    left_out: dict[str, str] = field(default_factory=dict)
    test_bed: bool = False
    seeds_by: dict[str, tuple[int, ...]] = field(default_factory=dict)
    others: tuple[OtherRun, ...] = ()

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        """The seeds over which the variant's figures are means; the first one is `seeds[0]`."""
        return self.seeds_by.get(variant, self.seeds)

    @property
    def _any(self) -> dict[str, Any]:
        return self.runs[self.variants[0], self.seeds[0]].metrics

    @property
    def yardsticks(self) -> dict[str, dict[str, Any]]:
        """The metrics of what learns nothing, as they were ranked beside a trained run; without
        those that are variants here themselves."""
        found: dict[str, dict[str, Any]] = {}
        for run in self.runs.values():
            found = yardsticks_of(run.metrics) or found
        return {name: parts for name, parts in found.items() if name not in self.variants}

    @property
    def rows(self) -> tuple[str, ...]:
        """What tables have a row of: the variants, then what learns nothing."""
        return (*self.variants, *self.yardsticks)

    @property
    def warnings(self) -> list[str]:
        """Which trained variants are behind what learns nothing, a line each."""
        trained = {name for (name, _), run in self.runs.items() if run.history}
        beside = {n: self._decided(n) for n in self.rows if n in YARDSTICKS and n not in trained}
        lines = (warning(n, self._decided(n), beside) for n in self.variants if n in trained)
        return [line for line in lines if line is not None]

    def _decided(self, name: str) -> tuple[float, float]:
        """The deciding metric of validation and of test, as `figures` has it of one run."""
        metric = deciding()
        valid, test = (self.rate(name, part, metric) for part in ("valid", "test"))
        return _mean(valid, metric), _mean(test, metric)

    @property
    def kinds(self) -> list[str]:
        """Kinds of pictures of the test mentions; none where the source does not tell."""
        prefix = "test_image_"
        found = {name.removeprefix(prefix) for name in self._any if name.startswith(prefix)}
        known = [kind for kind in KINDS if kind in found]
        return known + sorted(found - set(KINDS))

    @property
    def parts(self) -> list[str]:
        """Keys of metrics.json below `test`: clean, seen, unseen, each kind of picture, poor."""
        kinds = [f"test_image_{kind}" for kind in self.kinds]
        parts = ["test_clean", "test_seen", "test_unseen", *kinds, "test_poor"]
        return [part for part in parts if part in self._any]

    @property
    def compared(self) -> str | None:
        """The variant that is held against `mimic`: the first other one, where both were run."""
        others = [variant for variant in self.variants if variant != BASELINE]
        return others[0] if others and BASELINE in self.variants else None

    def mentions(self, part: str = "test") -> int:
        count: int = self._any[part]["mentions"]
        return count

    @property
    def entities(self) -> int:
        count: int = self._any["test"]["entities"]
        return count

    def rate(
        self, variant: str, part: str, metric: Metric, seeds: Sequence[int] | None = None
    ) -> Rate | None:
        """A metric over seeds (None: all of the variant's), as tables show it; None where the part
        has no mention."""
        if self.mentions(part) == 0:
            return None
        if variant in self.yardsticks:
            return Rate((metric.scale * self.yardsticks[variant][part][metric.key],))
        of = self.seeds_of(variant) if seeds is None else seeds
        runs = (self.runs[variant, seed] for seed in of)
        return Rate(tuple(metric.scale * run.metrics[part][metric.key] for run in runs))

    @property
    def uncalibrated(self) -> dict[str, str]:
        """Variants with a run whose probabilities are not known, and why."""
        return {
            variant: why
            for variant in self.variants
            for seed in reversed(self.seeds_of(variant))
            if (why := self.runs[variant, seed].uncalibrated)
        }

    def answer_rate(self, variant: str, key: str) -> Rate | None:
        """A metric of answers that may be none, on test, in percent; None where it has no value."""
        runs = (self.runs[variant, seed] for seed in self.seeds_of(variant))
        values = [run.probability["test"][key] for run in runs]
        return None if None in values else Rate(tuple(100 * value for value in values))


def _mean(rate: Rate | None, metric: Metric) -> float:
    """As metrics.json has it; 0 of no mention."""
    return 0.0 if rate is None else rate.mean / metric.scale


def part_name(part: str) -> str:
    """`test_image_low_value` as a table names it: `low_value`; a kind that is called as another
    part is keeps its prefix."""
    name = "all" if part == "test" else part.removeprefix("test_")
    kind = name.removeprefix("image_")
    return name if kind in ("all", "clean", "seen", "unseen", "poor") else kind


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
    run = Run(content, history, ranks)
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
