"""A grid of runs, then its table:

python -m pipeline.ablate --dataset wikimel --grid grids/table2.yaml
"""

from pathlib import Path

import click

from cache.locks import working
from pipeline.cli import command, echo
from pipeline.defaults import grid as found
from stages.ablation.grid import load_grid
from stages.ablation.run import ablate, grid_folder
from stages.ablation.table import write_tables
from stages.config import Params
from stages.paths import DatasetPaths


@command(
    "Train and evaluate a grid of variants, settings and seeds in one process; resumes.",
    resumes=True,
)
@click.option(
    "--grid", "source", required=True, type=Path, metavar="FILE.yaml",
    help="The grid, or the name of one of the package's own, such as table2; its settings stand on "
    "top of the parameters.",
)  # fmt: skip
def main(params: Params, paths: DatasetPaths, source: Path) -> None:
    grid = load_grid(found(source), params)
    paths.require_records()  # before a lock makes the data set's folder
    with working(paths.lock(f"grid-{grid.name}"), "runs the grid"):
        outcomes = ablate(paths, grid, params.evaluate)
        folder = grid_folder(paths, grid)
        echo(write_tables(folder, outcomes, grid.reference), nl=False)
    echo(f"{folder}: table.csv, table.md, table.parquet, runs.parquet")


if __name__ == "__main__":
    main()
