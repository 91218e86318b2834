"""Any source into canonical records: checked, split, counted.

python -m pipeline.prepare --dataset wikimel --source mimic --input PATH
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from cache.locks import working
from pipeline.cli import absolute, command, echo
from stages.config import Params, PrepareConfig
from stages.datasets.audit import audited
from stages.datasets.fallback import with_pictures_that_decode
from stages.datasets.pictures import KeyCache
from stages.datasets.records import INDEX, Records
from stages.datasets.sources import AUTO, SOURCES, recognised
from stages.datasets.squares import Squares
from stages.datasets.validation import render_findings
from stages.paths import DatasetPaths, project_path


def source_options(function: Callable[..., None]) -> Callable[..., None]:
    """--source and --input: a data set in its own format."""
    located = click.option(
        "--input", "input_path", type=click.Path(path_type=Path), metavar="PATH",
        help="Folder or file of the source.  [default: data/NAME/raw, else the one of before]",
    )(function)  # fmt: skip
    return click.option(
        "--source", callback=known_source, metavar="NAME",
        help=f"The input's format: {', '.join(SOURCES)}.  [default: prepare.source]",
    )(located)  # fmt: skip


def known_source(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Reads the registry when the option is used: click.Choice would copy it on import."""
    if value is not None and value not in SOURCES:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(SOURCES)}", param=option)
    return value


def read_records(
    config: PrepareConfig, paths: DatasetPaths, source: str | None, path: Path | None,
    keys: KeyCache, squares: Squares | None,
) -> Records:  # fmt: skip
    """The source's records, as the two options and the parameters say, audited.

    Args:
        squares: None leaves out the audit, and opens no picture.
    """
    source = source or config.source
    # Absolute, so that the records can tell whether the pictures lie in the project's folder.
    place, root = absolute(path or _input_of(paths)), absolute(paths.root)
    if source == AUTO:
        source = recognised(place)
    records = SOURCES[source](
        place, paths.dataset, root=root, seed=config.seed, missing_answer=config.missing_answer,
        keys=keys,
    )  # fmt: skip
    records = replace(records, input=project_path(place, root))
    records = with_pictures_that_decode(records, root, squares)
    return records if squares is None else audited(records, root, squares)


def _input_of(paths: DatasetPaths) -> Path:
    """Where the source lies that no option names: in `raw`, else where it was read before."""
    if not paths.raw.exists() and (paths.records / INDEX).exists():
        said = Records.load(paths.records).input
        if said:  # records of an earlier version say nothing
            return paths.root / said
    return paths.raw


@command("Read a data set from its source into data/NAME/records.")
@source_options
def main(params: Params, paths: DatasetPaths, source: str | None, input_path: Path | None) -> None:
    keys = KeyCache(paths.partial / KeyCache.NAME)
    squares = Squares(paths.partial / Squares.NAME)
    records = read_records(params.prepare, paths, source, input_path, keys, squares)
    keys.save()
    squares.save()
    with working(paths.lock("records"), "prepares"):
        records.save(paths.records)
    tables = {"entities": records.entities, **records.mentions, "pictures": records.pictures}
    for name, table in tables.items():
        echo(f"{name:<12}{table.num_rows:>10,}")
    for line in render_findings(records.findings):
        echo(line)
    echo(f"written: {paths.records}")


if __name__ == "__main__":
    main()
