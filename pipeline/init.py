"""Begin a data set of one's own:  python -m pipeline.init mine

In a folder without params.yaml it begins a project there, with the package's default parameters.
"""

import json
from pathlib import Path

import click

from cache.errors import MelovError
from cache.files import atomic_path
from cache.strict import read_regular
from pipeline import defaults
from pipeline.cli import PARAMS, command, echo
from pipeline.ending import Command, as_called
from pipeline.prepare import known_source
from stages.config import Params, load_params
from stages.datasets.readers.jsonl import ENTITY_FIELDS
from stages.paths import DatasetPaths
from stages.section import ConfigError, read_mapping

SECTIONS = ("prepare", "extract", "graph", "train", "evaluate")
"""That DVC's stages of a data set depend on, each by its own block."""

DEMO = "demo"


class Named(Command):
    """The data set's name may stand alone, without --dataset."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-"):
            args = ["--dataset", *args]
        return super().parse_args(ctx, args)


@command(
    "Make the folder of a data set, and its block of settings in params.yaml, also a new one.",
    cls=Named, begins=True,
)  # fmt: skip
@click.option(
    "--source", callback=known_source, metavar="NAME",
    help="Its format, where it cannot be recognised.",
)  # fmt: skip
@click.option("--text-encoder", metavar="NAME", help="A hub name or a local folder.")
@click.option("--image-encoder", metavar="NAME", help="same, none, a hub name or a local folder.")
def main(
    params: Params, paths: DatasetPaths, source: str | None, text_encoder: str | None,
    image_encoder: str | None,
) -> None:  # fmt: skip
    file = paths.root / PARAMS
    extract = {"text_encoder": text_encoder, "image_encoder": image_encoder}
    told = {"prepare": {"source": source}, "extract": extract}
    block = {
        section: {key: value for key, value in told.get(section, {}).items() if value is not None}
        for section in SECTIONS
    }
    if paths.dataset not in params.overrides:
        write_block(file, paths.dataset, block)
    elif file.exists() or any(block.values()):
        raise MelovError(
            f"{file}: overrides.{paths.dataset} is there already",
            "change it there, or take another name",
        )
    else:  # a published data set, whose block the defaults have
        with atomic_path(file) as temporary:
            temporary.write_bytes(defaults.PARAMS.read_bytes())
    paths.raw.mkdir(parents=True, exist_ok=True)
    echo(f"{file}: overrides.{paths.dataset} written")
    if paths.dataset == DEMO:
        steps = ["demo", "demo_encoder", "prepare", "extract"]
        echo("the project draws this one itself:")
    else:
        steps = ["validate", "prepare", "extract"]
        echo(f"put the source into {paths.raw} (of your own: entities and mentions, .jsonl or")
        echo(f".csv; an entity has {', '.join(ENTITY_FIELDS)}), then:")
    for step in steps:
        echo(as_called(f"  python -m pipeline.{step} --dataset {paths.dataset}"))


def write_block(file: Path, dataset: str, block: dict[str, dict[str, str]]) -> None:
    """Add the block at the end of `overrides`; every other line of the file stays as it is, or is
    that of the defaults where there is no file yet.

    Raises:
        ConfigError: a value cannot be, or `overrides` is written in a form to which no line can be
            added; nothing is written then.
    """
    base = file if file.exists() else defaults.PARAMS
    lines = read_regular(base, ConfigError).decode().splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("overrides:")]
    if not starts:
        lines += ["", "overrides:"]
        starts = [len(lines) - 1]
    if lines[starts[0]].partition("#")[0].strip() != "overrides:":
        raise ConfigError(f"{file}: overrides stand on one line", "write them one key a line")
    end = starts[0] + 1
    while end < len(lines) and not lines[end][:1].strip():  # indented, or blank
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    inner = next((line for line in lines[starts[0] + 1 : end] if line.strip()), "  ")
    step = inner[: len(inner) - len(inner.lstrip())]
    own = [f"{step}{dataset}:"]
    own += [f"{2 * step}{section}: {json.dumps(values)}" for section, values in block.items()]
    text = "\n".join([*lines[:end], *own, *lines[end:]]) + "\n"
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
        found = read_mapping(temporary, "parameter file", "")
        before = {"overrides": None, **read_mapping(base, "parameter file", "")}
        own_block = found["overrides"].pop(dataset, None)
        if own_block != block or {**found, "overrides": found["overrides"] or None} != before:
            raise ConfigError(f"{file}: no block can be added to its overrides")
        load_params(temporary, dataset)  # what cannot be read is not put into place


if __name__ == "__main__":
    main()
