"""Make a data set's feature store from a file that `pipeline.export` wrote.

python -m pipeline.load --dataset wikimel --input wikimel.h5
"""

from contextlib import suppress
from pathlib import Path

import click

from cache.errors import StoreError
from cache.exchange import is_loaded, load_hdf5
from cache.fingerprint import Fingerprint
from cache.locks import working
from pipeline.cli import command, echo
from stages.config import Params
from stages.datasets.records import read_digest
from stages.datasets.store import recover_store
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

    def accept(fingerprint: Fingerprint) -> None:
        """Of the records that are here, if any are: another store could not be used."""
        if not (paths.records / "records.json").exists():
            return
        made_from, here = fingerprint.fields.get("records"), read_digest(paths.records)
        if made_from != here:
            raise StoreError(
                f"{source}: made from records {made_from}, but {paths.records} holds {here}",
                "load it beside the records that it was made from, under another --dataset",
            )

    with working(paths.lock("store"), "loads"):
        recover_store(paths)
        with suppress(OSError):  # there is none, or a store is in the making in it
            paths.load_partial.rmdir()
        if store.exists() and not force:
            if is_loaded(source, store):  # by this very command, killed at its end
                echo(f"{store}: {source} is loaded already, nothing to do")
                return
            raise StoreError(f"{store}: there is a store already", "pass --force to replace it")
        with byte_progress("load") as show:
            load_hdf5(source, store, show, accept)
    echo(f"{source} -> {store}")


if __name__ == "__main__":
    main()
