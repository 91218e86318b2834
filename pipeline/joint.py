"""Joint vectors of text and picture, for the baseline vilt:

python -m pipeline.joint --dataset wikimel --encoder dandelin/vilt-b32-mlm
"""

from __future__ import annotations

import click

from pipeline.cli import command
from stages.config import Params
from stages.encode.joint import extract_joint
from stages.paths import DatasetPaths


@command("Run a frozen ViLT once over each distinct pair of text and picture.")
@click.option("--encoder", required=True, metavar="NAME", help="A hub name or a local folder.")
@click.option("--replace", is_flag=True, help="Make the joint store anew, whatever lies there.")
def main(params: Params, dataset: str, encoder: str, replace: bool) -> None:
    paths = DatasetPaths(dataset)
    store, made = extract_joint(paths, params.extract, encoder, replace)
    about = store.attributes
    click.echo(f"{paths.joint}: {'written' if made else 'finished already, nothing to do'}")
    click.echo(f"pairs: {len(store['texts/global'])} distinct, of width {about['shapes']['d_t']}")
    for group, count in about["without_picture"].items():
        click.echo(f"read with a blank picture: {count} of {group}")
    for path, reason in about["failed_pictures"].items():
        click.echo(f"read with a blank picture, since it failed: {path}: {reason}")


if __name__ == "__main__":
    main()
