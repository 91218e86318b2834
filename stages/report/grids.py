"""Grids of ablations, read back from `ablations/<dataset>/<grid>/`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cache.errors import DamagedError, MelovError
from cache.sealed import Sealed
from stages.paths import DatasetPaths
from stages.report.results import Results, Run, read_history, undeclared
from stages.runs.folder import MADE_FROM, TABLES, RunFolder


@dataclass(frozen=True)
class GridReport:
    """A finished grid.

    results: its runs by name, as if each were a variant; their ranks are not read.
    variant: of each run.
    settings: what each run changes, by dotted key.
    base: the training parameters that stand beneath each run's own.
    """

    name: str
    results: Results
    variant: dict[str, str]
    settings: dict[str, dict[str, Any]]
    base: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Grids:
    """Finished grids, and those left out with the reason."""

    finished: list[GridReport]
    left_out: dict[str, str]


def load_grids(paths: DatasetPaths, digest: str) -> Grids:
    """Every grid of the data set, by name.

    Left out is one without its table, made from other records than the present ones, or evaluated
    before a metric was declared.

    Args:
        digest: of the present records.

    Raises:
        MelovError: a file of a grid is missing or damaged.
    """
    finished, left_out = [], {}
    for folder in sorted(p for p in _folder(paths).glob("*") if p.is_dir()):
        again = _command(paths, folder.name)
        if not (folder / TABLES).exists():
            if any(folder.glob("table.*")):
                said = f"{folder / TABLES}: missing beside the tables"
                raise DamagedError(said, again)
            done = sum(RunFolder(run, "").metrics.exists() for run in folder.iterdir())
            left_out[folder.name] = f"has not finished ({done} runs so far)"
            continue
        index = Sealed.read(folder / TABLES, again)
        made_from = index.content[MADE_FROM]
        if any(_made_from(RunFolder(folder / run, again)) != made_from[run] for run in made_from):
            left_out[folder.name] = "has runs that were made again since its tables"
            continue
        grid = _load(paths, folder, index)
        found = {run["provenance"]["records"] for run in grid.base.values()}
        if found != {digest}:
            left_out[folder.name] = "was made from other records than the present ones"
            continue
        missing = {undeclared(run.metrics) for run in grid.results.runs.values()} - {""}
        if missing:
            left_out[folder.name] = missing.pop()
            continue
        finished.append(grid)
    return Grids(finished, left_out)


def _folder(paths: DatasetPaths) -> Path:
    return paths.root / "ablations" / paths.dataset


def _command(paths: DatasetPaths, grid: str) -> str:
    named = f"--grid FILE of the grid {grid}"
    return f"python -m pipeline.ablate --dataset {paths.dataset} {named}"


def _made_from(run: RunFolder) -> Any:
    """What a run's metrics say of their origin; None where there are none.

    Raises:
        DamagedError: a file is not as it was written.
    """
    try:
        return run.read_metrics().content.get(MADE_FROM)
    except DamagedError:
        raise
    except (FileNotFoundError, MelovError):
        return None


def _load(paths: DatasetPaths, folder: Path, index: Sealed) -> GridReport:
    again = _command(paths, folder.name)
    rows = _rows(index.bytes_of("runs.parquet"))
    names = tuple(dict.fromkeys(row["run"] for row in rows))
    seeds = tuple(dict.fromkeys(row["seed"] for row in rows))
    runs, base = {}, {}
    for row in rows:
        run = RunFolder(folder / f"{row['run']}-s{row['seed']}", again)
        config, metrics = run.read_config(), read_metrics(run, again)
        history = read_history(config.bytes_of(run.history.name))
        runs[row["run"], row["seed"]] = Run(metrics, history, np.zeros(0))
        base[row["run"]] = dict(config.content)
        base[row["run"]]["graph"] = runs[row["run"], row["seed"]].metrics.get("graph", {})
    # A run that lacks a seed cannot be compared with the others.
    complete = tuple(name for name in names if all((name, seed) in runs for seed in seeds))
    return GridReport(
        folder.name,
        Results(paths.dataset, complete, seeds, runs),
        {row["run"]: row["variant"] for row in rows},
        {row["run"]: json.loads(row["settings"]) for row in rows},
        base,
    )


def read_metrics(run: RunFolder, again: str) -> dict[str, Any]:
    """The metrics of a grid's run; a missing file names the command, too."""
    try:
        return run.read_metrics().content
    except FileNotFoundError:
        raise MelovError(f"{run.metrics}: no such file", again) from None


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
    return rows
