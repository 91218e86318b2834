"""python -m pipeline.demo --dataset demo: write the embedded data set to data/<dataset>/raw."""

from cache.files import replacing_folder
from pipeline.cli import command, echo
from stages.config import Params
from stages.demo.world.generate import generate
from stages.paths import DatasetPaths


@command("Write the embedded data set, in the MIMIC layout, to data/NAME/raw.")
def main(params: Params, paths: DatasetPaths) -> None:
    raw = paths.raw
    with replacing_folder(raw) as folder:
        summary = generate(params.demo, folder)
    echo(
        f"{raw}: {summary.entities} entities, {summary.mentions} mentions, "
        f"{summary.captions} captions, {summary.pictures} pictures"
    )


if __name__ == "__main__":
    main()
