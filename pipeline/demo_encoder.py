"""python -m pipeline.demo_encoder --dataset demo: train the demo's small CLIP."""

from pipeline.cli import command, echo
from stages.config import Params
from stages.demo.encoders.clip import SMALL_CLIP
from stages.demo.encoders.training import train
from stages.paths import DatasetPaths


@command("Train the embedded data set's small CLIP on data/NAME/raw; write data/NAME/raw/encoder.")
def main(params: Params, paths: DatasetPaths) -> None:
    encoder = paths.raw / "encoder"
    trained = train(SMALL_CLIP, paths.raw, params.demo_encoder)
    trained.save(encoder)
    echo(f"{encoder}: {trained.as_text()}")


if __name__ == "__main__":
    main()
