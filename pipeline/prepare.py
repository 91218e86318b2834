"""Any source into canonical records: checked, split, counted.

python -m pipeline.prepare --dataset wikimel --source mimic --input PATH
"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import command
from stages.config import Params
from stages.datasets.pictures import KeyCache
from stages.datasets.sources import SOURCES, read_source
from stages.datasets.validation import render_findings
from stages.paths import DatasetPaths


@command("Read a data set from its source into data/NAME/records.")
@click.option(
    "--source", type=click.Choice(SOURCES), help="The input's format.  [default: prepare.source]"
)
@click.option(
    "--input", "input_path", type=click.Path(path_type=Path), metavar="PATH",
    help="Folder or file of the source.  [default: data/NAME/raw]",
)  # fmt: skip
def main(params: Params, dataset: str, source: str | None, input_path: Path | None) -> None:
    paths = DatasetPaths(dataset)
    keys = KeyCache(paths.partial / "picture-keys.parquet")
    records = read_source(
        source or params.prepare.source, input_path or paths.raw, dataset, params.prepare, keys
    )
    keys.save()
    records.save(paths.records)
    tables = {"entities": records.entities, **records.mentions, "pictures": records.pictures}
    for name, table in tables.items():
        click.echo(f"{name:<12}{table.num_rows:>10,}")
    for line in render_findings(records.findings):
        click.echo(line)
    click.echo(f"written: {paths.records}")


if __name__ == "__main__":
    main()
