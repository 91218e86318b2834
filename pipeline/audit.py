"""Leaks between training, validation, test and the knowledge base:

python -m pipeline.audit --dataset wikimel --output leaks.csv
"""

import csv
from pathlib import Path

import click

from cache.files import atomic_path
from pipeline.cli import OutputFile, command, echo
from stages.config import Params
from stages.datasets.audit import HELD_OUT, audit_of
from stages.datasets.flags import FLAGS, NO_LEAK
from stages.datasets.records import Records
from stages.datasets.squares import Squares
from stages.paths import SPLITS, DatasetPaths
from stages.shown import cell


@command("Count and list what of validation and test stands in training, or shows its answer.")
@click.option(
    "--output", type=OutputFile(), metavar="FILE",
    help="Write every leak with the record that it repeats, as CSV.",
)  # fmt: skip
def main(params: Params, paths: DatasetPaths, output: Path | None) -> None:
    squares = Squares(paths.partial / Squares.NAME)
    records = Records.load(paths.records)
    found = audit_of(records, paths.root, squares)
    squares.save()
    width = max(map(len, FLAGS)) + 2
    echo(f"{'mentions':<{width}}" + "".join(f"{split:>10}" for split in SPLITS))
    sizes = {split: records.mentions[split].num_rows for split in SPLITS}
    echo(f"{'all':<{width}}" + "".join(f"{sizes[split]:>10,}" for split in SPLITS))
    for flag, counts in found.counts.items():
        line = f"{flag:<{width}}" + "".join(f"{counts[split]:>10,}" for split in SPLITS)
        echo(line + ("  (no leak)" if flag in NO_LEAK else ""))
    clean = {"train": "", **{split: f"{found.clean[split]:,}" for split in HELD_OUT}}
    echo(f"{'clean':<{width}}" + "".join(f"{clean[split]:>10}" for split in SPLITS))
    echo(f"pictures compared: {found.pictures:,}, of them {found.undecoded:,} by their bytes alone")
    if output is not None:
        with atomic_path(output) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["split", "mention", "flag", "repeats"])
            for leak in found.leaks:
                writer.writerow([leak.split, cell(leak.mention), leak.flag, cell(leak.repeats)])
        echo(f"written: {output}")


if __name__ == "__main__":
    main()
