"""The report as one HTML file that needs no network and no other file."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from stages.datasets.records import Records
from stages.paths import SPLITS
from stages.report.cases import Cases
from stages.report.facts import GraphFacts, PictureFacts
from stages.report.figures import Drawing, bars, curves
from stages.report.published import PUBLISHED, VARIANT_OF
from stages.report.results import METRIC_NAMES, Rate, Results, part_name
from stages.report.table import FROZEN, PART_METRICS, TEST_BED, cell, heading, poor_difference


def render_page(
    results: Results,
    records: Records,
    graph: GraphFacts,
    pictures: PictureFacts,
    cases: Cases | None,
) -> str:
    """`report.html`. Everything that comes from the data is escaped by the template's engine."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(
        files("stages.report").joinpath("template.html").read_text(encoding="utf-8")
    )
    page: str = template.render(
        results=results,
        heading=heading(results),
        counts={split: records.mentions[split].num_rows for split in SPLITS},
        pictures_named=records.pictures.num_rows,
        headline=_headline(results),
        frozen=FROZEN,
        test_bed=TEST_BED if results.dataset == "demo" else "",
        metrics=METRIC_NAMES,
        part_metrics={metric: METRIC_NAMES[metric] for metric in PART_METRICS},
        parts=[(part, part_name(part)) for part in results.parts],
        rated=_rated(results),
        difference=poor_difference(results),
        published=_published(results),
        curves=[_markup(drawing) for drawing in curves(results)],
        bars=_bars(results),
        graph=graph,
        pictures=pictures,
        findings=[finding for finding in records.findings if finding.dropped],
        cases=cases,
    )
    return page


def _headline(results: Results) -> list[tuple[str, str]]:
    """Mean H@1 of every variant over all test mentions, as words and number."""
    rates = ((v, results.rate(v, "test", "hits@1")) for v in results.variants)
    return [(v, f"{rate.mean:.2f}" if rate is not None else cell(None)) for v, rate in rates]


def _rated(results: Results) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """part -> metric -> a cell a variant: its text, its value, whether it is the highest."""

    def row(part: str, metric: str) -> list[dict[str, Any]]:
        rates = [results.rate(variant, part, metric) for variant in results.variants]
        shown = [f"{rate.mean:.2f}" for rate in rates if rate is not None]
        best = max(shown, key=float) if len(shown) > 1 else None
        return [
            {"text": cell(rate), "value": _value(rate), "best": _value(rate) == best}
            for rate in rates
        ]

    return {
        part: {metric: row(part, metric) for metric in METRIC_NAMES}
        for part in ("test", *results.parts)
    }


def _value(rate: Rate | None) -> str:
    return "-1" if rate is None else f"{rate.mean:.2f}"


def _published(results: Results) -> list[tuple[str, list[str], list[str] | None]]:
    """(system, its published figures, ours where that variant was run)."""
    found: list[tuple[str, list[str], list[str] | None]] = []
    for system, figures in PUBLISHED.get(results.dataset, {}).items():
        variant = VARIANT_OF.get(system)
        ours = None
        if variant in results.variants:
            ours = [cell(results.rate(variant, "test", metric)) for metric in METRIC_NAMES]
        found.append((system, [f"{value:.2f}" for value in figures], ours))
    return found


def _bars(results: Results) -> list[tuple[str, Markup]]:
    """(title, svg): H@1 by kind of picture, where kinds are known, and seen against unseen."""
    kinds = [part for part in results.parts if part.startswith("test_image_")]
    groups = [
        ("H@1 by the mention's picture", ["test", *kinds], "bars-kinds"),
        ("H@1 of entities seen and unseen in training", ["test_seen", "test_unseen"], "bars-seen"),
    ]
    return [
        (title, _markup(bars(results, parts, "hits@1", name, f"{title}; numbers in the table.")))
        for title, parts, name in groups
        if len(parts) > 1 and any(map(results.mentions, parts))
    ]


def _markup(drawing: Drawing) -> Markup:
    """An SVG of our own drawing; its words are escaped already."""
    return Markup(drawing.svg)
