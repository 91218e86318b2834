"""An ablation over the store: what one changed parameter costs besides training and ranking, and a
grid in one process against its runs one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

import yaml

from benchmarks.commands import Commands, Cost
from benchmarks.compare import Mark, Result, Timing, at_least, at_most
from benchmarks.dvc_project import DvcProject
from benchmarks.made import FULL, Size, made_dataset
from stages.heads.variants import VARIANTS

FEW = Size(FULL.entities, FULL.train, valid=64, test=64)
"""WikiMEL's store with few mentions to rank: their ranking is subtracted anyway."""

MELOV = [name for name, variant in VARIANTS.items() if variant.has_units]
"""MELOV and its parts, which have the matcher's units; not the baselines."""

SHORT = {"epochs": 1, "valid_mentions": 16, "gcn_layers": 1}
CHANGED = {"d_z": 32}
"""Of `train`."""

MOST_SECONDS = 20.0


def run(full: bool, rounds: int) -> Result:
    del rounds  # minutes a round; what is compared are sums of many commands
    store = made_dataset(False)
    separate, grid, costs = _grid_against_runs(store.root)
    values: dict[str, float] = {"separate_seconds": separate, "grid_seconds": grid}
    notes = [
        f"{len(MELOV)} variants on the quick store, settings {SHORT}",
        "outside of training and ranking: starting Python, imports, opening, checking, loading, "
        "writing; by the commands' own record of both",
    ]
    outside = median(cost.outside for cost in costs)
    what = "outside of training and ranking, train and evaluate"
    if full:
        outside, more = _full_size(values)
        notes += more
        what += f", {CHANGED} changed, `dvc status`, `dvc repro`"
    values["outside_seconds"] = outside
    marks: list[Mark] = [
        at_most(what, outside, MOST_SECONDS, " s"),
        at_least("6 separate runs over one grid", separate / grid, 1),
    ]
    ratio = separate / grid
    timings = [
        Timing("pipeline.ablate", grid, 1.0, 1.0, 1.0),
        Timing("train and evaluate, run by run", separate, ratio, ratio, ratio),
    ]
    return Result("ablation", "an ablation over the store", timings, marks, notes, values)


def _grid_against_runs(root: Path) -> tuple[float, float, list[Cost]]:
    """Seconds of the variants by two commands each, seconds of the grid, and the runs' costs."""
    with tempfile.TemporaryDirectory(dir=root) as name:
        commands = Commands(Path(name), made_dataset(False, root))
        grid = commands.folder / "grid.yaml"
        runs = [{"name": variant} for variant in MELOV]
        grid.write_text(yaml.safe_dump({"seeds": [0], "train": SHORT, "runs": runs}))
        together, _ = commands.run("ablate", "--grid", str(grid))
        costs = [commands.train_and_evaluate(variant, SHORT) for variant in MELOV]
    return sum(cost.wall for cost in costs), together, costs


def _full_size(values: dict[str, float]) -> tuple[float, list[str]]:
    """The same at WikiMEL's size, with DVC's share; the second time, so the pages are warm."""
    paths = made_dataset(True, size=FEW)
    with tempfile.TemporaryDirectory(dir=paths.root) as name:
        commands = Commands(Path(name), paths)
        cost = commands.train_and_evaluate("melov", {**SHORT, **CHANGED})
    with tempfile.TemporaryDirectory(dir=paths.root) as name:
        project = DvcProject(Path(name), paths)
        first = project.commit()
        status, repro = project.status(), project.repro()
    values |= {
        "commands_outside_seconds": cost.outside,
        "dvc_commit_seconds": first,
        "dvc_status_seconds": status,
        "dvc_repro_seconds": repro,
    }
    return cost.outside + status + repro, [
        f"at WikiMEL's size: commands {cost.outside:.1f} s, `dvc status` {status:.1f} s, "
        f"`dvc repro` {repro:.1f} s; the first `dvc commit` hashes everything but the store's "
        f"chunks: {first:.1f} s"
    ]
