"""The report on a source's data; writes nothing.

python -m pipeline.validate --dataset wikimel --source mimic --input PATH
"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import command
from stages.config import Params
from stages.datasets.pictures import KeyCache
from stages.datasets.sources import SOURCES, read_source
from stages.datasets.validation import render, validate
from stages.paths import DatasetPaths


@command(
    "Check a data set in its source's format: counts against the published ones, every quirk met, "
    "what will be dropped, which pictures cannot be decoded. Writes nothing."
)
@click.option(
    "--source", type=click.Choice(SOURCES), help="The input's format.  [default: prepare.source]"
)
@click.option(
    "--input", "input_path", type=click.Path(path_type=Path), metavar="PATH",
    help="Folder or file of the source.  [default: data/NAME/raw]",
)  # fmt: skip
@click.option("--no-pictures", is_flag=True, help="Do not open the pictures.")
def main(
    params: Params, dataset: str, source: str | None, input_path: Path | None, no_pictures: bool
) -> None:
    paths = DatasetPaths(dataset)
    keys = KeyCache(paths.partial / "picture-keys.parquet")  # read, never saved
    records = read_source(
        source or params.prepare.source, input_path or paths.raw, dataset, params.prepare, keys
    )
    click.echo(render(validate(records, open_pictures=not no_pictures)))


if __name__ == "__main__":
    main()
