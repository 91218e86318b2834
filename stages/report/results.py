"""The runs of one data set as a report sees them; `load_results.py` reads them from their files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.heads.variants import YARDSTICKS
from stages.ranking.answers import Answers
from stages.ranking.metrics import Metric, deciding
from stages.report.others import OtherRun
from stages.report.rate import Rate
from stages.runs.folder import PROBABILITY, UNCALIBRATED
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
    predictions: reads the rows of predictions.csv of the test mentions; None where there is no such
        file.
    """

    metrics: dict[str, Any]
    history: list[dict[str, float]]
    ranks: np.ndarray
    answers: Answers | None = None
    predictions: Callable[[], list[dict[str, str]] | None] = lambda: None

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
