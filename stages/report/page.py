"""The report as one HTML file that needs no network and no other file."""

from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from stages.datasets.records import Records
from stages.paths import SPLITS
from stages.ranking.metrics import by_part, shown
from stages.report.columns import cell
from stages.report.drawing import Drawing
from stages.report.errors import RANKS, Errors
from stages.report.facts import GraphFacts, PictureFacts
from stages.report.figures import bars, curves, tau_curve
from stages.report.grids import GridReport, Grids
from stages.report.insight import Insight
from stages.report.probability import probability_facts
from stages.report.results import Results
from stages.report.sheet import Sheet
from stages.report.sheets import (
    fusion_sheet,
    graph_sheets,
    grid_sheet,
    others_sheet,
    parts_sheet,
    picture_sheets,
    published_sheet,
    results_sheet,
    table2_sheet,
)
from stages.report.sweeps import draw_sweep, find_sweeps
from stages.report.table import FROZEN, TEST_BED, partial_notes, poor_difference
from stages.runs.predictions import TOP
from stages.shown import page as page_text

MOST_BARS = 6
"""Runs that bars still tell apart: as many as there are colours."""


@dataclass(frozen=True)
class Figure:
    title: str
    svg: Markup


@dataclass(frozen=True)
class GridPart:
    """A grid of ablations on the page."""

    name: str
    sheet: Sheet
    parts: Sheet | None
    difference: list[str]
    warnings: list[str]
    figures: list[Figure]


def render_page(
    results: Results,
    records: Records,
    graph: GraphFacts | None,
    pictures: PictureFacts | None,
    grids: Grids,
    insight: Insight,
    errors: Errors,
) -> str:
    """`report.html`. Everything that comes from the data is escaped by the template's engine."""
    tau, probability = tau_curve(results), probability_facts(results)
    page: str = _template("page.html").render(
        results=results,
        counts={split: records.mentions[split].num_rows for split in SPLITS},
        pictures_named=records.pictures.num_rows,
        metric=by_part()[0].title,
        headline=_headline(results),
        metric_notes=_metric_notes(),
        frozen=FROZEN,
        test_bed=f"{results.dataset} {TEST_BED}" if results.test_bed else "",
        results_sheet=results_sheet(results),
        others_sheet=others_sheet(results),
        partial_notes=partial_notes(results),
        difference=poor_difference(results),
        warnings=results.warnings,
        parts_sheet=parts_sheet(results),
        probability=probability,
        probability_drawings=[_markup(drawing) for drawing in probability.drawings],
        bars=_bars(results, "runs"),
        kinds=results.kinds,
        table2=table2_sheet(results),
        published=published_sheet(results),
        grids=[_grid(grid, f"grid-{place}") for place, grid in enumerate(grids.finished)],
        grids_left_out=grids.left_out,
        curves=[_markup(drawing) for drawing in curves(results)],
        graph=graph,
        graph_sheets=[] if graph is None else graph_sheets(graph),
        graph_drawings=[_markup(drawing) for drawing in graph.drawings] if graph else [],
        tau=None if tau is None else _markup(tau),
        fusion=None if insight.fusion is None else fusion_sheet(insight.fusion),
        fusion_drawing=None if insight.fusion is None else _markup(insight.fusion.drawing),
        pictures=pictures,
        picture_sheets=[] if pictures is None else picture_sheets(pictures, records),
        cases=insight.cases,
        problem=insight.problem,
        errors=errors,
        sections=_sections(results),
    )
    return page


def render_errors(results: Results, errors: Errors) -> str:
    """`errors.html`, escaped as the report is."""
    page: str = _template("errors.html").render(
        dataset=results.dataset, errors=errors, ranks=RANKS, top=TOP
    )
    return page


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.report"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        finalize=page_text,
    )  # fmt: skip
    return environment.get_template(name)


def _sections(results: Results) -> dict[str, str]:
    """Id and heading of each section, in their order."""
    found = {
        "results": "Results", "parts": "By part", "cases": "Cases", "errors": "Errors",
        "probability": "Probability", "ablations": "Ablations", "training": "Training",
        "graph": "Graph", "fusion": "Fusion", "pictures": "Pictures",
    }  # fmt: skip
    return {**found, "published": "Published"} if table2_sheet(results) else found


def _headline(results: Results) -> list[tuple[str, str]]:
    """Mean of the headline metric over all test mentions: every variant and its number."""
    rates = ((v, results.rate(v, "test", by_part()[0])) for v in results.variants)
    return [(v, f"{rate.mean:.2f}" if rate is not None else cell(None)) for v, rate in rates]


def _metric_notes() -> list[str]:
    """What each metric of the tables counts, then how ties do."""
    notes = [
        f"{m.title}: {m.note}" + ("" if m.higher_is_better else ", lower is better")
        for m in shown()
    ]
    return notes + [f"a rank is {ties}" for ties in dict.fromkeys(m.ties for m in shown())]


def _bars(results: Results, name: str) -> list[Figure]:
    """The headline metric by kind of picture, where kinds are known, and seen against unseen
    (Figure 5)."""
    metric = by_part()[0]
    if len(results.variants) > MOST_BARS or not results.mentions():
        return []
    kinds = [part for part in results.parts if part.startswith("test_image_")]
    share = results.mentions("test_unseen") / results.mentions()
    groups = [
        (f"{metric.title} by the mention's picture", ["test", *kinds], f"{name}-kinds"),
        (
            f"{metric.title} of entities seen and unseen in training ({share:.0%} of the mentions)",
            ["test_seen", "test_unseen"],
            f"{name}-seen",
        ),
    ]
    return [
        Figure(
            f"{title}, %",
            _markup(bars(results, parts, metric, name, f"{title}; numbers in the table.")),
        )
        for title, parts, name in groups
        if len(parts) > 1 and any(map(results.mentions, parts))
    ]


def _grid(grid: GridReport, name: str) -> GridPart:
    sweeps = find_sweeps(grid)
    figures = [
        Figure(f"Sweep of {sweep.title}", _markup(draw_sweep(grid, sweep, f"{name}-sweep-{place}")))
        for place, sweep in enumerate(sweeps)
    ]
    # Runs that differ in settings are shown as sweeps, variants by parts of the mentions.
    of_variants = not any(grid.settings.values())
    return GridPart(
        grid.name,
        grid_sheet(grid),
        parts_sheet(grid.results) if of_variants else None,
        poor_difference(grid.results),
        grid.results.warnings,
        figures + (_bars(grid.results, name) if of_variants else []),
    )


def _markup(drawing: Drawing) -> Markup:
    """An SVG of our own drawing; its words are escaped already."""
    return Markup(drawing.svg)
