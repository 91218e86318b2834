"""The tables of the page."""

from string import ascii_uppercase

from stages.datasets.records import Records
from stages.ranking.metrics import METRICS, Metric, by_part, shown
from stages.report.facts import GraphFacts, PictureFacts
from stages.report.fusion import FusionFacts
from stages.report.grids import GridReport
from stages.report.published import (
    COLUMNS,
    CONDITIONS,
    DATASETS,
    LATER,
    MAIN,
    NO_NUMBER,
    PUBLISHED,
    VARIANT_OF,
    main_figures,
)
from stages.report.results import Results, part_name
from stages.report.sheet import (
    Cell,
    Sheet,
    count,
    interval,
    marked,
    marked_columns,
    number,
    rate,
    word,
)
from stages.report.table import CLEAN, OTHERS, heading


def results_sheet(results: Results) -> Sheet:
    """One row a variant, all test mentions."""
    rows = [
        [word(variant), *(rate(results.rate(variant, "test", m)) for m in shown())]
        for variant in results.rows
    ]
    rows = marked_columns(rows, 1, shown())
    columns = ("variant", *(metric.title for metric in shown()))
    return Sheet(f"{heading(results)}. {_best(shown())} in bold.", columns, rows)


def others_sheet(results: Results) -> Sheet | None:
    """One row a run that no mean holds, and why; None where there is none."""
    if not results.others:
        return None
    rows = []
    for run in results.others:
        cells = [
            word("") if run.metrics is None else number(m.scale * run.metrics[m.key], 2)
            for m in shown()
        ]
        rows.append([word(run.name), word(run.why), *cells])
    return Sheet(OTHERS, ("run", "why", *(metric.title for metric in shown())), rows)


def parts_sheet(results: Results) -> Sheet:
    """One row a part of the test mentions, a column a metric and a variant."""
    rows = []
    for part in results.parts:
        cells = [word(part_name(part).replace("_", " ")), count(results.mentions(part))]
        for metric in by_part():
            cells += marked([rate(results.rate(v, part, metric)) for v in results.rows], metric)
        rows.append(cells)
    caption = "Test mentions by entity (seen or unseen in training)"
    if results.kinds:
        caption += " and by the mention's picture; poor: every kind but good"
    if "test_clean" in results.parts:
        caption += f"; {CLEAN.rstrip('.')}"
    return Sheet(
        f"{caption}. Percent; {_best(by_part()).lower()} of a metric in bold.",
        ("part", "mentions", *results.rows * len(by_part())),
        rows,
        groups=tuple((metric.title, len(results.rows)) for metric in by_part()),
    )


def table2_sheet(results: Results) -> Sheet | None:
    """Table 2 of this data set with our runs; None for a data set that it does not have."""
    figures = PUBLISHED.get(results.dataset)
    if figures is None:
        return None
    rows = []
    for system, values in figures.items():
        cells = [word(system)]
        for key, value in zip(COLUMNS, values, strict=True):
            cells += [number(value), _ours(results, system, key)]
        rows.append(cells)
    return Sheet(
        "Published: Table 2 of the paper, fine-tuned encoders. Ours: frozen encoders, all test "
        "mentions. Percent.",
        ("system", *("published", "ours") * len(COLUMNS)),
        rows,
        groups=tuple((METRICS[key].title, 2) for key in COLUMNS),
    )


def published_sheet(results: Results) -> Sheet:
    """H@1 and MRR: ours on this data set, and every published system on its three."""
    systems = (*PUBLISHED["wikimel"], *LATER)
    conditions = [LATER[s].conditions if s in LATER else CONDITIONS for s in systems]
    letters = dict(zip(dict.fromkeys(conditions), ascii_uppercase, strict=False))
    rows = []
    for system, condition in zip(systems, conditions, strict=True):
        cells = [word(system), word(letters[condition])]
        cells += [_ours(results, system, key) for key in MAIN]
        for dataset in DATASETS:
            cells += [number(value) for value in main_figures(system, dataset)]
        rows.append(cells)
    other = "" if results.dataset in DATASETS else ", other data"
    said = "; ".join(f"{letter}: {condition}" for condition, letter in letters.items())
    return Sheet(
        f"Ours with frozen encoders on {results.dataset}{other}, and published figures. Percent. "
        f"Conditions: {said}.",
        ("system", "conditions", *(METRICS[key].title for key in MAIN * (len(DATASETS) + 1))),
        rows,
        words=2,
        groups=tuple(
            (name, len(MAIN)) for name in (f"ours: {results.dataset}{other}", *DATASETS.values())
        ),
    )


def grid_sheet(grid: GridReport) -> Sheet:
    """One row a run: means, deviations and intervals over its seeds."""
    results = grid.results
    rows = []
    for run in results.rows:
        variant, said = grid.variant.get(run, run), grid.settings.get(run, {})
        settings = ", ".join(f"{key}={value}" for key, value in said.items())
        rates = [results.rate(run, "test", metric) for metric in shown()]
        between = [interval(results.rate(run, "test", metric)) for metric in by_part()]
        rows.append([word(run), word(variant), word(settings), *map(rate, rates), *between])
    columns = ("run", "variant", "settings", *(metric.title for metric in shown()))
    intervals = tuple(f"{metric.title}, 95 %" for metric in by_part())
    caption = f"{heading(results)}. {_best(shown())} in bold."
    if len(results.seeds) > 2:
        caption += " 95 %: interval of the mean by Student's t over the seeds."
    else:
        rows, intervals = [row[: len(columns)] for row in rows], ()
    rows = marked_columns(rows, 3, shown())
    keep = [at for at in range(len(rows[0])) if at != 2 or any(row[2].text for row in rows)]
    return Sheet(
        caption,
        tuple((*columns, *intervals)[at] for at in keep),
        [[row[at] for at in keep] for row in rows],
        words=2 + (2 in keep),
    )


def graph_sheets(graph: GraphFacts) -> list[Sheet]:
    """Statistics, and how the splits see the training mentions."""
    return [
        Sheet(
            "Graph of the training mentions",
            ("statistic", "value"),
            [[word(words), Cell(value)] for words, value in graph.lines],
        ),
        Sheet(
            "Neighbours among the training mentions",
            ("split", "mentions", "with none", "average"),
            [
                [word(split), count(mentions), count(without), number(average)]
                for split, mentions, without, average in graph.splits
            ],
        ),
    ]


def fusion_sheet(fusion: FusionFacts) -> Sheet:
    return Sheet(
        f"Mean weight of each source in the global visual feature, {fusion.run}",
        ("picture", "mentions", *fusion.sources),
        [
            [word(kind), count(mentions), *(number(weight, 3) for weight in weights)]
            for kind, mentions, weights in fusion.rows
        ],
    )


def picture_sheets(pictures: PictureFacts, records: Records) -> list[Sheet]:
    """What failed, what has no picture, what the source's reader left out; without empty tables."""
    dropped = [finding for finding in records.findings if finding.dropped]
    sheets = [
        Sheet(
            "Pictures that failed, by reason",
            ("reason", "pictures"),
            [[word(reason), count(n)] for reason, n in pictures.reasons],
        ),
        Sheet(
            "Records without a picture's features",
            ("records", "without", "of"),
            [[word(group), count(n), count(total)] for group, n, total in pictures.without],
        ),
        Sheet(
            "Records of the source left out",
            ("why", "records"),
            [[word(finding.what), count(finding.count)] for finding in dropped],
        ),
    ]
    return [sheet for sheet in sheets if sheet.rows]


def _best(metrics: list[Metric]) -> str:
    return "Highest" if all(metric.higher_is_better for metric in metrics) else "Best"


def _ours(results: Results, system: str, key: str) -> Cell:
    variant = VARIANT_OF.get(system)
    if variant in results.variants:
        return rate(results.rate(variant, "test", METRICS[key]))
    if system in NO_NUMBER and key == COLUMNS[0]:
        return Cell(NO_NUMBER[system], "-1")
    return rate(None)
