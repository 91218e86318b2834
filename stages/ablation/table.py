"""The tables of a grid: one row a run with mean and deviation over its seeds, intervals and a
paired test over its mentions; and one row a seed."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cache.files import atomic_path
from stages.ablation.evidence import hits, interval, paired_test, reciprocal
from stages.ablation.run import Outcome

METRICS = {"hits@1": "H@1", "hits@3": "H@3", "hits@5": "H@5", "mrr": "MRR"}
"""Of the test split, and their headings."""


def seed_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row a run and seed: settings as JSON, all test metrics, validation MRR."""
    return [
        {
            "run": o.run.name,
            "variant": o.run.variant,
            "seed": o.seed,
            "settings": json.dumps(o.run.changed, sort_keys=True),
            **o.metrics["test"],
            "valid_mrr": o.metrics["valid"]["mrr"],
        }
        for o in outcomes
    ]


def run_rows(outcomes: Sequence[Outcome], reference: str) -> list[dict[str, Any]]:
    """One row a run: mean and sample deviation of each metric (none of a single seed), bootstrap
    intervals of H@1 and MRR, and the paired test of MRR against the run `reference`."""
    runs: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        runs.setdefault(outcome.run.name, []).append(outcome)
    values_of = {name: reciprocal([o.ranks for o in seeds]) for name, seeds in runs.items()}
    rows = []
    for name, seeds in runs.items():
        run = seeds[0].run
        row: dict[str, Any] = {"run": name, "variant": run.variant, "seeds": len(seeds)}
        for metric in METRICS:
            values = [float(o.metrics["test"][metric]) for o in seeds]
            row[f"{metric}_mean"] = fmean(values)
            row[f"{metric}_std"] = stdev(values) if len(values) > 1 else None
        for metric, per_mention in (
            ("hits@1", hits([o.ranks for o in seeds])),
            ("mrr", values_of[name]),
        ):
            row[f"{metric}_low"], row[f"{metric}_high"] = interval(per_mention)
        row["mrr_difference"] = float((values_of[name] - values_of[reference]).mean())
        row["p"] = None
        if name != reference:
            row["p"] = paired_test(values_of[name], values_of[reference])
        rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]], reference: str) -> str:
    """Percentages, as in the paper's tables; p is that of MRR against the reference."""
    headings = [*METRICS.values(), "MRR, 95 %", f"MRR - {reference}", "p"]
    width = max(len("run"), *(len(row["run"]) for row in rows))
    lines = [f"| {'run':<{width}} | " + " | ".join(f"{h:>14}" for h in headings) + " |"]
    lines.append(f"| {'-' * width} | " + " | ".join(["-" * 13 + ":"] * len(headings)) + " |")
    for row in rows:
        cells = [_cell(row[f"{m}_mean"], row[f"{m}_std"]) for m in METRICS]
        cells.append(f"{100 * row['mrr_low']:.2f} to {100 * row['mrr_high']:.2f}")
        own = row["p"] is None
        cells += ["", ""] if own else [f"{100 * row['mrr_difference']:+.2f}", f"{row['p']:.4f}"]
        lines.append(f"| {row['run']:<{width}} | " + " | ".join(f"{c:>14}" for c in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, std: float | None) -> str:
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def write_tables(folder: Path, outcomes: Sequence[Outcome], reference: str) -> str:
    """table.csv, table.md, table.parquet and runs.parquet; returns the Markdown."""
    rows = run_rows(outcomes, reference)
    text = markdown(rows, reference)
    with (
        atomic_path(folder / "table.csv") as path,
        path.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with atomic_path(folder / "table.md") as path:
        path.write_text(text, encoding="utf-8")
    deviations = {f"{metric}_std": pa.float64() for metric in METRICS}  # all null with one seed
    deviations["p"] = pa.float64()
    for name, content in (("table", rows), ("runs", seed_rows(outcomes))):
        table = pa.Table.from_pylist(content)
        schema = pa.schema([f.with_type(deviations.get(f.name, f.type)) for f in table.schema])
        with atomic_path(folder / f"{name}.parquet") as path:
            pq.write_table(table.cast(schema), path)
    return text
