"""Write a data set's feature store to one HDF5 file.

python -m pipeline.export --dataset wikimel --output wikimel.h5
"""

from pathlib import Path

import click

from cache.errors import StoreError
from cache.exchange import export_hdf5
from pipeline.cli import OutputFile, command, echo
from stages.config import Params
from stages.paths import DatasetPaths
from stages.progress import byte_progress


@command("Write the feature store of a data set to one HDF5 file, for exchange and archives.")
@click.option(
    "--output", required=True, type=OutputFile(), metavar="FILE.h5",
    help="The file to write; an older one is replaced when the new one is complete.",
)  # fmt: skip
def main(params: Params, paths: DatasetPaths, output: Path) -> None:
    store = paths.store
    if not store.exists():
        again = f"python -m pipeline.extract --dataset {paths.dataset}"
        raise StoreError(f"{store}: no such feature store", again)
    with byte_progress("export") as show:
        export_hdf5(store, output, show, hint=paths.repair)
    echo(f"{store} -> {output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
