"""How well the heads of a bundle link to entities that they never saw:

python -m pipeline.transfer --dataset other --bundle melov-wikimel
"""

import json
from pathlib import Path

import click

from cache.files import atomic_path
from pipeline.cli import OutputFile, command, echo, encoder_options
from pipeline.link import open_given
from stages.config import Params
from stages.linking.transfer import MOST, accuracy
from stages.paths import SPLITS, DatasetPaths
from stages.ranking.metrics import shown


@command("Link a data set's mentions to its entities with the heads of a bundle.", resumes=True)
@click.option(
    "--bundle", required=True, metavar="DIR",
    help="A folder that pipeline.bundle wrote, or its name on the hub; of the data set's encoder.",
)  # fmt: skip
@encoder_options
@click.option(
    "--split", type=click.Choice(SPLITS), default="test", show_default=True,
    help="Whose mentions are linked.",
)  # fmt: skip
@click.option("--output", type=OutputFile(), metavar="FILE", help="The figures as JSON, too.")
def main(
    params: Params, paths: DatasetPaths, bundle: str, text_encoder: str | None,
    image_encoder: str | None, split: str, output: Path | None,
) -> None:  # fmt: skip
    heads = open_given(bundle, params, text_encoder=text_encoder, image_encoder=image_encoder)
    linker = heads.with_entities(paths.path)
    found = accuracy(linker, paths, split)
    rates = "  ".join(f"{metric.title} {found[metric.key]:.4f}" for metric in shown())
    echo(f"{split:<26} n {found['mentions']:>5}  {rates}  (of {found['entities']:,} entities)")
    if found["entities"] > MOST:
        echo(f"an entity behind the first {MOST:,} counts as not found")
    if output is not None:
        said = {"dataset": paths.dataset, "split": split, **found}
        with atomic_path(output) as path:
            path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
