"""Read every output of a data set and compare it with its checksums.

python -m pipeline.verify --dataset wikimel
python -m pipeline.verify --dataset wikimel --repair
python -m pipeline.verify --bundle melov-wikimel
"""

import sys
from pathlib import Path

import click

from cache.errors import MelovError
from cache.exchange import require_whole
from pipeline.cli import command, echo
from stages.config import Params
from stages.paths import DatasetPaths
from stages.verify.check import bundle_part, parts_of


@command(
    "Read every output of a data set, or a bundle; name what is not as it was written.",
    instead="bundle",
)
@click.option(
    "--bundle", type=click.Path(path_type=Path), metavar="DIR",
    help="In the place of --dataset: a folder that pipeline.bundle wrote.",
)  # fmt: skip
@click.option(
    "--repair",
    is_flag=True,
    help="First make damaged files of the stores again; only their rows are encoded.",
)
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE.h5",
    help="A file that pipeline.export wrote, to be read as well; repeatable.",
)  # fmt: skip
def main(
    params: Params, paths: DatasetPaths | None, bundle: Path | None, repair: bool,
    files: tuple[Path, ...],
) -> None:  # fmt: skip
    if repair and paths is None:
        raise click.UsageError(
            "--repair makes a data set's stores again; a bundle is written again"
        )
    if paths is not None and repair:
        show_repair(params, paths)
    parts, found = [], 0
    if bundle is not None:
        parts = [bundle_part(bundle)]
    elif paths is not None:
        parts = parts_of(paths)
        if not parts and not files:
            paths.require_records()
    for part in parts:
        problems = list(part.problems())
        found += len(problems)
        echo(f"{part.name:<24}{'damaged' if problems else 'whole':<10}{part.path}")
        for problem in problems:
            echo(f"  {problem.path}: {problem.what}\n    {problem.mend}")
    for file in files:
        try:
            require_whole(file)
            echo(f"{'export':<24}{'whole':<10}{file}")
        except MelovError as error:
            found += 1
            echo(f"{'export':<24}{'damaged':<10}{error}")
    if found:
        echo(f"error: {found} damaged", err=True)
        sys.exit(1)


def show_repair(params: Params, paths: DatasetPaths) -> None:
    """Repair, and say what was done."""
    from stages.verify.repair import repair  # loads torch, for which a check has no use

    said = params.said(paths.dataset, "extract")
    for store, repaired in repair(paths, params.extract, said).items():
        encoded = ", ".join(f"{n:,} {kind}" for kind, n in repaired.encoded.items()) or "nothing"
        echo(f"{store}: {len(repaired.files)} files made again; encoded {encoded}")
        for path in repaired.files:
            echo(f"  {path}")
        for path, why in repaired.left.items():
            echo(f"  left as it is: {path}: {why}")


if __name__ == "__main__":
    main()
