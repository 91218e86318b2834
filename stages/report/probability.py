"""What probabilities are worth: a table, risk by coverage, and how far they are what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from stages.ranking.answers import ANSWER_METRICS, Answers, reliability, risk_coverage
from stages.report.answers import answers_note
from stages.report.drawing import INK, MARKERS, STYLE, WIDTH, Drawing, inline, variant_mark
from stages.report.results import Results, Run
from stages.report.sheet import Sheet, count, number, rate, word
from stages.shown import plot

POINTS = 200
"""Of a curve: more would show nothing."""


@dataclass(frozen=True)
class ProbabilityFacts:
    """`unknown`: variants whose probabilities are not known, with the reason."""

    note: str
    sheet: Sheet
    drawings: list[Drawing]
    unknown: dict[str, str]


def probability_facts(results: Results) -> ProbabilityFacts:
    """Of the test mentions, those without an entity among them; curves of the first seed."""
    unknown = results.uncalibrated
    known = [variant for variant in results.variants if variant not in unknown]
    drawn = [v for v in known if results.runs[v, results.seeds[0]].probability["test"]["mentions"]]
    drawings = [_risk(results, drawn), _reliability(results, drawn)] if drawn else []
    return ProbabilityFacts(answers_note(results), _sheet(results, known), drawings, unknown)


def _sheet(results: Results, known: Sequence[str]) -> Sheet:
    rows = []
    for variant in known:
        first = results.runs[variant, results.seeds[0]].probability
        cells = [word(variant), count(first["test"]["mentions"])]
        cells += [count(first["test"]["nil_mentions"]), number(first["threshold"], 3)]
        rows.append([*cells, *(rate(results.answer_rate(variant, key)) for key in ANSWER_METRICS)])
    titles = (metric.title for metric in ANSWER_METRICS.values())
    columns = ("variant", "mentions", "without an entity", "threshold", *titles)
    said = "; ".join(f"{metric.title}: {metric.note}" for metric in ANSWER_METRICS.values())
    return Sheet(f"Answers that may be none, test. Percent. {said}.", columns, rows)


def _risk(results: Results, known: Sequence[str]) -> Drawing:
    """Share wrong among the likeliest answers, by their share of all mentions."""
    said = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for variant in known:
            run = results.runs[variant, results.seeds[0]]
            coverage, risk = risk_coverage(_answers(run))
            at = np.unique(np.linspace(0, len(risk) - 1, POINTS).round().astype(int))
            mark = variant_mark(results, variant)
            axes.plot(100 * coverage[at], 100 * risk[at], color=mark, label=plot(variant))
            test = run.probability["test"]
            if test["answered"]:
                at_threshold = test["answered"] / test["mentions"], 1 - test["precision"]
                axes.plot(*(100 * x for x in at_threshold), "o", ms=7, mfc="none", mec=mark)
            said.append(f"{variant}: area {100 * test['aurc']:.2f}")
        axes.plot([], [], "o", ms=7, mfc="none", mec=INK, ls="none", label="threshold")
        axes.set(xlim=(0, 101), ylim=(0, None), xlabel="answered, %", ylabel="wrong, %")
        axes.set_title("risk by coverage", loc="left")
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=3)
        return inline(figure, "risk", "Risk by coverage, test. " + "; ".join(said) + ".")


def _reliability(results: Results, known: Sequence[str]) -> Drawing:
    """Share right by probability of the best entity, a point a bin; the diagonal is calibrated."""
    said = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], "--", color=INK, lw=0.8)
        for place, variant in enumerate(known):
            run = results.runs[variant, results.seeds[0]]
            p, right, _ = 100 * reliability(_answers(run)).T
            axes.plot(
                p, right, color=variant_mark(results, variant), ms=4, lw=1,
                marker=MARKERS[place % len(MARKERS)], label=plot(variant),
            )  # fmt: skip
            said.append(f"{variant}: calibration error {100 * run.probability['test']['ece']:.2f}")
        axes.set(xlim=(0, 101), ylim=(0, 101), xlabel="probability, %", ylabel="right, %")
        axes.set_title("calibration", loc="left")
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=3)
        label = "Share right by probability, test. " + "; ".join(said) + "."
        return inline(figure, "reliability", label)


def _answers(run: Run) -> Answers:
    assert run.answers is not None  # of a calibrated run
    return run.answers
