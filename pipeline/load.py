"""Make a data set's feature store from a file that `pipeline.export` wrote.

python -m pipeline.load --dataset wikimel --input wikimel.h5
"""

from pathlib import Path

import click

from cache.errors import StoreError
from cache.exchange import load_hdf5
from pipeline.cli import command
from stages.config import Params
from stages.paths import DatasetPaths
from stages.progress import byte_progress


@command("Make the feature store of a data set from an HDF5 file that pipeline.export wrote.")
@click.option(
    "--input", "source", required=True, type=click.Path(path_type=Path), metavar="FILE.h5",
    help="The file to read; its checksums are verified.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the data set's store if there is one.")
def main(params: Params, paths: DatasetPaths, source: Path, force: bool) -> None:
    store = paths.store
    if store.exists() and not force:
        raise StoreError(f"{store}: there is a store already", "pass --force to replace it")
    # They describe the store that is replaced; `pipeline.extract` writes new ones.
    for stale in ("summary.json", "failed_pictures.csv", "timings.json"):
        (paths.extract / stale).unlink(missing_ok=True)
    with byte_progress("load") as show:
        load_hdf5(source, store, show)
    click.echo(f"{source} -> {store}")


if __name__ == "__main__":
    main()
