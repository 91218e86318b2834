"""Link new mentions with a trained run:

python -m pipeline.link --dataset wikimel --mention Lincoln --sentence "..." --image photo.jpg
python -m pipeline.link --dataset wikimel --input mentions.jsonl --output linked.jsonl

or, in any folder, with a bundle:

python -m pipeline.link --bundle melov-wikimel --mention Lincoln
"""

import codecs
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from cache.errors import MelovError
from cache.files import atomic_path
from cache.strict import open_regular
from pipeline.cli import OutputFile, command, echo, linker_options, require_bundles
from stages.config import Params
from stages.datasets.decoding.picture import PictureError, quiet_pillow, read_bytes, rgb
from stages.datasets.lines import bounded_lines
from stages.linking.bundle.hub import bundle_folder
from stages.linking.bundle.open import open_bundle
from stages.linking.linker import Linker
from stages.linking.mention import NewMention, new_mention, read_mentions
from stages.paths import DatasetPaths
from stages.shown import json_line


@command(
    "Rank the knowledge base for a new mention, or for JSON Lines of them.", resumes=True,
    instead="bundle",
)  # fmt: skip
@linker_options
@click.option("--mention", metavar="WORDS", help="The words to link.")
@click.option("--sentence", default="", metavar="TEXT", help="With --mention: where they stand.")
@click.option("--image", metavar="FILE", help="With --mention: its picture.")
@click.option(
    "--input", "source", metavar="FILE",
    help='JSON Lines, "-" for standard input: {"mention", "sentence"?, "image"?, "id"?}; '
    "pictures' paths are relative to the current folder.",
)  # fmt: skip
@click.option(
    "--top",
    type=click.IntRange(1, 1_000_000),
    default=5,
    show_default=True,
    help="Entities to name.",
)
@click.option(
    "--min-probability", type=click.FloatRange(0, 1), metavar="P",
    help="Answer none where the best entity is less probable; the run must be evaluated.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON Lines also for a single --mention.")
@click.option(
    "--index/--no-index", default=True, show_default=True,
    help="Keep the run's entities on the disk, where the next calls find them.",
)  # fmt: skip
@click.option(
    "--entities", type=click.Path(path_type=Path), metavar="DIR",
    help="Link to the entities of another data set, a project's data/NAME of the same encoder.",
)  # fmt: skip
@click.option(
    "--output", type=OutputFile(), metavar="FILE", help="For JSON Lines; else standard output."
)
def main(
    params: Params, paths: DatasetPaths | None, bundle: str | None,
    text_encoder: str | None, image_encoder: str | None, variant: str, seed: int,
    mention: str | None, sentence: str, image: str | None, source: str | None, top: int,
    min_probability: float | None, as_json: bool, index: bool, entities: Path | None,
    output: Path | None,
) -> None:  # fmt: skip
    if (mention is None) == (source is None):
        raise click.UsageError("give one of --mention and --input")
    if source is not None and (sentence or image):
        raise click.UsageError("--sentence and --image go with --mention; --input has its own")
    said = {"mention": mention, "sentence": sentence, "image": image}
    if image:
        check_picture(Path(image))
    mentions = [new_mention(said, "--mention")] if source is None else read(source)
    if paths is not None:
        linker = Linker.open(paths, variant, seed, params.extract, params.evaluate, index)
    else:
        require_bundles(params)
        encoders = {"text_encoder": text_encoder, "image_encoder": image_encoder}
        linker = open_given(str(bundle), params, **encoders)
    if entities is not None:
        linker = linker.with_entities(entities, index)
    results = linker.link(mentions, top, min_probability)
    if source is None and not as_json and output is None:
        for linked in results:
            echo(linked.as_text())
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    escaped = output is None and codecs.lookup(encoding).name != "utf-8"
    with sink(output) as file:
        for linked in results:
            line = json_line(linked.to_dict(), escaped)
            echo(line) if file is None else file.write(f"{line}\n")


def open_given(bundle: str, params: Params, **encoders: str | None) -> Linker:
    """The linker of a bundle, by its folder or its name.

    Args:
        encoders: `text_encoder` and `image_encoder`, where they have moved.
    """
    given = {name: _encoder(value) for name, value in encoders.items() if value is not None}
    return open_bundle(bundle_folder(bundle), params.extract, params.evaluate, given)


def _encoder(name: str) -> str:
    """A folder by its absolute path; else a name of the hub."""
    folder = Path(name)
    return str(folder.absolute()) if folder.is_dir() else name


def check_picture(path: Path) -> None:
    """Who names one picture means it: of many lines a picture that fails is a warning.

    Raises:
        MelovError: it cannot be read or decoded.
    """
    try:
        with quiet_pillow():
            rgb(read_bytes(path))
    except PictureError as error:
        raise MelovError(f"--image {path}: {error}") from None


def read(source: str) -> list[NewMention]:
    if source == "-":
        return read_mentions(bounded_lines(sys.stdin.buffer, "<stdin>"), "<stdin>")
    with open_regular(Path(source), MelovError) as file:
        return read_mentions(bounded_lines(file, source), source)


@contextlib.contextmanager
def sink(output: Path | None) -> Iterator[IO[str] | None]:
    """None for standard output, else a file that is in place only once it is whole."""
    if output is None:
        yield None
        return
    with atomic_path(output) as path, path.open("w", encoding="utf-8") as file:
        yield file


if __name__ == "__main__":
    main()
