"""python -m pipeline.demo_vilt --dataset demo: the demo's small ViLT, for the baseline vilt."""

from pipeline.cli import command, echo
from stages.config import Params
from stages.demo.encoders.training import train
from stages.demo.encoders.vilt import SMALL_VILT
from stages.paths import DatasetPaths


@command("Train the embedded data set's small ViLT on data/NAME/raw; write data/NAME/vilt.")
def main(params: Params, paths: DatasetPaths) -> None:
    vilt = paths.path / "vilt"  # not in `raw`, which a `dvc repro` without the ViLT has made
    trained = train(SMALL_VILT, paths.raw, params.demo_vilt)
    trained.save(vilt)
    echo(f"{vilt}: {trained.as_text()}")


if __name__ == "__main__":
    main()
