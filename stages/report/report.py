"""A data set's report: four files from the runs' files, with no model loaded."""

from __future__ import annotations

from pathlib import Path

from stages.config import ReportConfig
from stages.datasets.records import Records, read_digest
from stages.paths import DatasetPaths, atomic_path
from stages.report.cases import find_cases
from stages.report.facts import graph_facts, picture_facts
from stages.report.page import render_page
from stages.report.results import load_results
from stages.report.table import csv_report, markdown_report, text_report


def write_report(
    paths: DatasetPaths, variants: tuple[str, ...], seeds: tuple[int, ...], config: ReportConfig
) -> str:
    """Write `reports/<dataset>/`; the same files give the same bytes. Returns table.txt's text.

    Raises
    ------
    MelovError: records, a graph, a summary or a run are missing, or do not belong together.
    """
    folder = paths.require_records()
    records = Records.load(folder)
    results = load_results(
        paths, variants, seeds, read_digest(folder), records.mentions["test"].num_rows
    )
    cases = find_cases(results, records, paths.root, config.cases) if config.cases else None
    graph, pictures = graph_facts(paths), picture_facts(paths, records)
    contents = {
        "table.txt": text_report(results),
        "table.md": markdown_report(results),
        "table.csv": csv_report(results),
        "report.html": render_page(results, records, graph, pictures, cases),
    }
    for name, content in contents.items():
        with atomic_path(report_folder(paths) / name) as path:
            path.write_bytes(content.encode("utf-8"))
    return contents["table.txt"]


def report_folder(paths: DatasetPaths) -> Path:
    return paths.root / "reports" / paths.dataset
