"""What training adds to the start, on the validation mentions that choose the epoch."""

from __future__ import annotations

from stages.ranking.metrics import deciding
from stages.report.columns import Table, cell
from stages.report.rate import Rate
from stages.report.results import Results, Run

COURSE = (
    "Before the first epoch and at the best one, on the validation mentions that choose it, "
    "without re-ranking."
)


def course_table(results: Results) -> Table | None:
    """A row a trained variant: the deciding metric at the start and at the best epoch, over seeds;
    None where nothing is trained."""
    rows: list[tuple[str, ...]] = []
    for variant in results.variants:
        runs = [results.runs[variant, seed] for seed in results.seeds_of(variant)]
        if not all(run.history for run in runs):
            continue
        start, best = zip(*(_course(run) for run in runs), strict=True)
        gain = Rate(tuple(b - a for a, b in zip(start, best, strict=True)))
        sign = "+" if gain.mean > 0 else ""
        rows.append((variant, cell(Rate(start)), cell(Rate(best)), f"{sign}{cell(gain)}"))
    title = deciding().title
    columns = ("variant", f"{title}, start", f"{title}, best epoch", "gain")
    return Table(columns, rows, left=1) if rows else None


def _course(run: Run) -> tuple[float, float]:
    metric = deciding()
    values = [metric.scale * row[f"valid_{metric.key}"] for row in run.history]
    return values[0], max(values) if metric.higher_is_better else min(values)
