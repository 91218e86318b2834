"""The tables of a grid: one row a run with mean and deviation over its seeds, intervals and a
paired test over its mentions; and one row a seed."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cache.files import replacing_files
from cache.sealed import write_sealed
from stages.ablation.evidence import interval, paired_test, per_mention
from stages.ablation.run import Outcome
from stages.heads.variants import VARIANTS
from stages.ranking.metrics import Metric, by_part, deciding, shown
from stages.runs.folder import MADE_FROM, TABLES
from stages.runs.yardsticks import figures, warning, yardsticks_of
from stages.shown import cell
from stages.shown import markdown as markdown_cell

CLEAN = "test_clean"
"""Key of a run's metrics.json: the test mentions that no leak makes easier."""


def seed_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row a run and seed: settings as JSON, all test metrics, the tested one of validation."""
    key = deciding().key
    return [
        {
            "run": o.run.name,
            "variant": o.run.variant,
            "seed": o.seed,
            "settings": json.dumps(o.run.changed, sort_keys=True),
            **o.metrics["test"],
            f"valid_{key}": o.metrics["valid"][key],
        }
        for o in outcomes
    ]


def run_rows(outcomes: Sequence[Outcome], reference: str) -> list[dict[str, Any]]:
    """One row a run: mean and sample deviation of each metric (none of a single seed), bootstrap
    intervals of those told by part, and the paired test against the run `reference`."""
    runs: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        runs.setdefault(outcome.run.name, []).append(outcome)
    ranks = {name: [o.ranks for o in seeds] for name, seeds in runs.items()}
    decides = {name: per_mention(deciding(), of_seeds) for name, of_seeds in ranks.items()}
    rows = []
    for name, seeds in runs.items():
        run = seeds[0].run
        row: dict[str, Any] = {"run": name, "variant": run.variant, "seeds": len(seeds)}
        for metric in shown():
            values = [float(o.metrics["test"][metric.key]) for o in seeds]
            row[f"{metric.key}_mean"] = fmean(values)
            row[f"{metric.key}_std"] = stdev(values) if len(values) > 1 else None
        for metric in by_part():
            low_high = interval(per_mention(metric, ranks[name]), metric.reduce)
            row[f"{metric.key}_low"], row[f"{metric.key}_high"] = low_high
        row |= _clean([o.metrics for o in seeds])
        row[f"{deciding().key}_difference"] = float((decides[name] - decides[reference]).mean())
        row["p"] = None if name == reference else paired_test(decides[name], decides[reference])
        rows.append(row)
    return rows


def _clean(seeds: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over seeds of what is told by part, on the clean part; None where no audit says which
    that is."""
    parts = [of[CLEAN] for of in seeds if CLEAN in of]
    return {
        f"{metric.key}_clean": fmean(part[metric.key] for part in parts)
        if len(parts) == len(seeds)
        else None
        for metric in by_part()
    }


def beside_rows(outcomes: Sequence[Outcome], reference: str) -> list[dict[str, Any]]:
    """One row for each system that learns nothing, where no run of the grid has its name: its
    metrics, and the difference of its mean to the reference's. Its ranks are not kept, so it has
    no interval and no test."""
    names = {outcome.run.name for outcome in outcomes}
    found = next((beside for o in outcomes if (beside := yardsticks_of(o.metrics))), {})
    key = deciding().key
    own = fmean(o.metrics["test"][key] for o in outcomes if o.run.name == reference)
    rows = []
    for name, parts in found.items():
        row: dict[str, Any] = {"run": name, "variant": name, "seeds": 0}
        for metric in shown():
            row |= {f"{metric.key}_mean": parts["test"][metric.key], f"{metric.key}_std": None}
        for metric in by_part():
            row |= {f"{metric.key}_low": None, f"{metric.key}_high": None}
        row |= _clean([parts])
        row |= {f"{key}_difference": parts["test"][key] - own, "p": None}
        rows += [] if name in names else [row]
    return rows


def warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Which runs are behind what learns nothing, by their means over seeds, a line each."""
    runs: dict[str, list[tuple[float, float]]] = {}
    beside: dict[str, tuple[float, float]] = {}
    for outcome in outcomes:
        if VARIANTS[outcome.run.variant].trained:
            runs.setdefault(outcome.run.name, []).append(figures(outcome.metrics))
            beside = {n: figures(of) for n, of in yardsticks_of(outcome.metrics).items()} or beside
    means = {name: (fmean(v for v, _ in of), fmean(t for _, t in of)) for name, of in runs.items()}
    lines = (warning(name, mean, beside) for name, mean in means.items())
    return [line for line in lines if line is not None]


def markdown(rows: Sequence[dict[str, Any]], reference: str) -> str:
    """Percentages, as in the paper's tables, with those of the clean part where it is known; p is
    that of the tested metric's difference."""
    t, scale = deciding(), deciding().scale
    audited = [m for m in by_part() if any(row[f"{m.key}_clean"] is not None for row in rows)]
    headings = [m.title for m in shown()] + [f"{m.title}, clean" for m in audited]
    headings += [f"{t.title}, 95 %", f"{t.title} - {markdown_cell(reference)}", "p"]
    names = [markdown_cell(row["run"]) for row in rows]
    width = max(len("run"), *map(len, names))
    lines = [f"| {'run':<{width}} | " + " | ".join(f"{h:>14}" for h in headings) + " |"]
    lines.append(f"| {'-' * width} | " + " | ".join(["-" * 13 + ":"] * len(headings)) + " |")
    for row, name in zip(rows, names, strict=True):
        cells = [_cell(m, row[f"{m.key}_mean"], row[f"{m.key}_std"]) for m in shown()]
        of_clean = ((m, row[f"{m.key}_clean"]) for m in audited)
        cells += ["" if value is None else _cell(m, value, None) for m, value in of_clean]
        low, high = row[f"{t.key}_low"], row[f"{t.key}_high"]
        cells.append("" if low is None else f"{scale * low:.2f} to {scale * high:.2f}")
        gain, p = f"{scale * row[f'{t.key}_difference']:+.2f}", row["p"]
        cells += ["", ""] if row["run"] == reference else [gain, "" if p is None else f"{p:.4f}"]
        lines.append(f"| {name:<{width}} | " + " | ".join(f"{c:>14}" for c in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(metric: Metric, mean: float, std: float | None) -> str:
    return f"{metric.scale * mean:.2f}" + ("" if std is None else f" ± {metric.scale * std:.2f}")


def write_tables(folder: Path, outcomes: Sequence[Outcome], reference: str) -> str:
    """table.csv, table.md, table.parquet and runs.parquet, and tables.json, which vouches for them
    and names what each run was made from; returns the Markdown."""
    rows = run_rows(outcomes, reference) + beside_rows(outcomes, reference)
    text = markdown(rows, reference)
    text += "".join(f"\nWarning: {markdown_cell(line)}\n" for line in warnings(outcomes))
    with replacing_files(folder, last=TABLES) as scratch:
        with (scratch / "table.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
        (scratch / "table.md").write_text(text, encoding="utf-8")
        deviations = {f"{m.key}_std": pa.float64() for m in shown()}  # all null with one seed
        deviations["p"] = pa.float64()
        for metric in by_part():
            named = (f"{metric.key}_{of}" for of in ("low", "high", "clean"))
            deviations |= dict.fromkeys(named, pa.float64())
        for name, content in (("table", rows), ("runs", seed_rows(outcomes))):
            table = pa.Table.from_pylist(content)
            schema = pa.schema([f.with_type(deviations.get(f.name, f.type)) for f in table.schema])
            pq.write_table(table.cast(schema), scratch / f"{name}.parquet")
        made_from = {f"{o.run.name}-s{o.seed}": o.metrics.get(MADE_FROM) for o in outcomes}
        beside = sorted(scratch.iterdir())
        write_sealed(scratch / TABLES, {MADE_FROM: made_from}, beside, atomic=False)
    return text
