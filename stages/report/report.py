"""A data set's report: five files from the runs' files, and report.json, which vouches for them;
what it says first is in DVC's metrics, too."""

from pathlib import Path
from typing import Any

from cache.files import atomic_path, replacing_files
from cache.sealed import write_sealed
from stages.config import EvaluateConfig, ReportConfig
from stages.datasets.records import Records
from stages.paths import REPORT, DatasetPaths
from stages.report.errors import find_errors
from stages.report.facts import graph_facts, picture_facts
from stages.report.grids import load_grids
from stages.report.insight import look_inside
from stages.report.load_results import load_results
from stages.report.overall import file_of, overall
from stages.report.page import render_errors, render_page
from stages.report.results import Results
from stages.report.table import csv_report, markdown_report, text_report
from stages.runs.folder import MADE_FROM


def write_report(
    paths: DatasetPaths,
    variants: tuple[str, ...],
    seeds: tuple[int, ...],
    config: ReportConfig,
    evaluate: EvaluateConfig | None = None,
) -> str:
    """Write `reports/<dataset>/` and `metrics/<dataset>/overall.json`; the same files give the same
    bytes. Returns table.txt's text.

    Where something is missing (grids, a graph, a run of `mimic`, the feature store), the page
    leaves its part out and says so.

    Args:
        evaluate: how runs are explained; blocks and device.

    Raises:
        MelovError: no records or no complete run, or a file that is damaged or from other records.
    """
    records = Records.load(paths.require_records())
    results = load_results(paths, variants, seeds, records)
    insight = look_inside(paths, results, records, config.cases, evaluate or EvaluateConfig())
    errors = find_errors(results, records)
    taus = {
        variant: tau
        for variant in results.variants
        if (tau := results.runs[variant, results.seeds[0]].best_epoch.get("tau")) is not None
    }
    page = render_page(
        results,
        records,
        graph_facts(paths, taus),
        picture_facts(paths, records),
        load_grids(paths, records.digest),
        insight,
        errors,
    )
    contents = {
        "table.txt": text_report(results),
        "table.md": markdown_report(results),
        "table.csv": csv_report(results),
        "report.html": page,
        "errors.html": render_errors(results, errors),
    }
    with replacing_files(report_folder(paths), last=REPORT) as scratch:
        for name, content in contents.items():
            (scratch / name).write_bytes(content.encode("utf-8"))
        beside = sorted(scratch.iterdir())
        write_sealed(scratch / REPORT, made_from(results, records), beside, atomic=False)
    with atomic_path(paths.overall) as temporary:
        temporary.write_bytes(file_of(overall(results)))
    return contents["table.txt"]


def made_from(results: Results, records: Records) -> dict[str, Any]:
    """The records, and what each run's metrics say that they were made from."""
    runs = {
        f"{variant}-s{seed}": run.metrics.get(MADE_FROM)
        for (variant, seed), run in sorted(results.runs.items())
    }
    return {"records": records.digest, "runs": runs}


def report_folder(paths: DatasetPaths) -> Path:
    return paths.report
