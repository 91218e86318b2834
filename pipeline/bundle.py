"""Write a run and its entities as one folder that links anywhere:

python -m pipeline.bundle --dataset wikimel --variant melov --seed 0 --output melov-wikimel
"""

from pathlib import Path

import click

from pipeline.cli import OutputFolder, command, echo, run_options
from stages.config import Params
from stages.linking.bundle.write import BundleSpec, require_free, write_bundle
from stages.paths import DatasetPaths


@command("Write a run with its entities to one folder, to be opened anywhere or uploaded.")
@run_options
@click.option(
    "--output", required=True, type=OutputFolder(), metavar="DIR",
    help="The folder to write; it appears when it is complete.",
)  # fmt: skip
@click.option(
    "--with-encoder", "encoder", is_flag=True,
    help="Copy the encoder's files too, so that the folder is all that is needed.",
)  # fmt: skip
@click.option(
    "--license", metavar="NAME",
    help="Of the trained heads, as the hub names it (such as mit); goes into the model card.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an older bundle.")
def main(
    params: Params, paths: DatasetPaths, variant: str, seed: int, output: Path, encoder: bool,
    license: str | None, force: bool,
) -> None:  # fmt: skip
    require_free(output, force)
    spec = BundleSpec(variant, seed, encoder, license)
    size = write_bundle(paths, spec, output, params.extract, params.evaluate)
    echo(f"{output}: {size:,} bytes")


if __name__ == "__main__":
    main()
