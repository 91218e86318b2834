"""Joint vectors of text and picture, for the baseline vilt:

python -m pipeline.joint --dataset wikimel --encoder dandelin/vilt-b32-mlm
"""

from pathlib import Path

import click

from pipeline.cli import absolute, command, echo
from stages.config import Params
from stages.encode.joint import extract_joint
from stages.paths import DatasetPaths, project_path


@command("Run a frozen ViLT once over each distinct pair of text and picture.", resumes=True)
@click.option("--encoder", required=True, metavar="NAME", help="A hub name or a local folder.")
@click.option("--replace", is_flag=True, help="Rebuild the joint store, whatever lies there.")
def main(params: Params, paths: DatasetPaths, encoder: str, replace: bool) -> None:
    if Path(encoder).is_dir():  # of the working directory; the store names it as the project does
        encoder = project_path(absolute(Path(encoder)), absolute(paths.root))
    store, made = extract_joint(paths, params.extract, encoder, replace)
    echo(f"{paths.joint}: {'written' if made else 'finished already, nothing to do'}")
    pairs, width = store["texts/global"].shape
    echo(f"pairs: {pairs} distinct, of width {width}")
    for group, count in store.attribute("without_picture").items():
        echo(f"read with a blank picture: {count} of {group}")
    for path, reason in store.attribute("failed_pictures").items():
        echo(f"read with a blank picture, since it failed: {path}: {reason}")


if __name__ == "__main__":
    main()
