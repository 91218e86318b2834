"""The report on a source's data; writes nothing.

python -m pipeline.validate --dataset wikimel --source mimic --input PATH
"""

from pathlib import Path

import click

from pipeline.cli import command, echo
from pipeline.prepare import read_records, source_options
from stages.config import Params
from stages.datasets.pictures import KeyCache
from stages.datasets.squares import Squares
from stages.datasets.validation import render, validate
from stages.paths import DatasetPaths


@command(
    "Check a data set in its source's format: counts against the published ones, every quirk met, "
    "what will be dropped, which pictures cannot be decoded. Writes nothing."
)
@source_options
@click.option("--no-pictures", is_flag=True, help="Do not open the pictures.")
def main(
    params: Params, paths: DatasetPaths, source: str | None, input_path: Path | None,
    no_pictures: bool,
) -> None:  # fmt: skip
    keys = KeyCache(paths.partial / "picture-keys.parquet")  # read, never saved
    squares = None if no_pictures else Squares(paths.partial / Squares.NAME)
    records = read_records(params.prepare, paths, source, input_path, keys, squares)
    echo(render(validate(records, paths.root, open_pictures=not no_pictures)))


if __name__ == "__main__":
    main()
