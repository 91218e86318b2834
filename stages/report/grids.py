"""Grids of ablations, read back from `ablations/<dataset>/<grid>/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import DamagedError
from cache.sealed import Sealed
from stages.paths import DatasetPaths
from stages.report.load_results import undeclared
from stages.report.results import Results, Run
from stages.report.run_files import (
    made_from,
    read_config,
    read_grid_rows,
    read_history,
    read_metrics,
)
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
        origins = made_from(index)
        rows = read_grid_rows(index, "runs.parquet")
        if {f"{row['run']}-s{row['seed']}" for row in rows} != set(origins):
            what = f"{folder / 'runs.parquet'}: damaged: its rows are of other runs than {TABLES}"
            raise DamagedError(what, again)
        if any(_made_from(RunFolder(folder / run, again)) != origins[run] for run in origins):
            left_out[folder.name] = "has runs that were made again since its tables"
            continue
        grid = _load(paths, folder, rows)
        found = {run["provenance"].get("records") for run in grid.base.values()}
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
        MelovError: a file is not as it was written, or the metrics are another run's.
    """
    try:
        return run.read_metrics().content.get(MADE_FROM)
    except FileNotFoundError:
        return None


def _load(paths: DatasetPaths, folder: Path, rows: list[dict[str, Any]]) -> GridReport:
    again = _command(paths, folder.name)
    names = tuple(dict.fromkeys(row["run"] for row in rows))
    seeds = tuple(dict.fromkeys(row["seed"] for row in rows))
    runs, base = {}, {}
    for row in rows:
        run = RunFolder(folder / f"{row['run']}-s{row['seed']}", again)
        config, metrics = read_config(run), read_metrics(run, again).content
        history = read_history(config, run.history.name)
        runs[row["run"], row["seed"]] = Run(metrics, history, np.zeros(0))
        base[row["run"]] = dict(config.content)
        base[row["run"]]["graph"] = runs[row["run"], row["seed"]].metrics.get("graph", {})
    # A run that lacks a seed cannot be compared with the others.
    complete = tuple(name for name in names if all((name, seed) in runs for seed in seeds))
    if not complete:
        raise DamagedError(f"{folder}: damaged: no run has every seed", again)
    return GridReport(
        folder.name,
        Results(paths.dataset, complete, seeds, runs),
        {row["run"]: row["variant"] for row in rows},
        {row["run"]: row["settings"] for row in rows},
        base,
    )
