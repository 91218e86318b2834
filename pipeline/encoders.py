"""Links to the encoders' local folders, for DVC:  python -m pipeline.encoders --dataset wikimel"""

from pipeline.cli import command, echo
from stages.config import Params
from stages.encode.encoders.folders import point_to_encoder
from stages.paths import DatasetPaths


@command("Link the encoders' local folders in data/NAME/encoders, where DVC looks for changes.")
def main(params: Params, paths: DatasetPaths) -> None:
    config, root = params.extract, paths.root
    text = point_to_encoder(paths.encoders / "text", config.text_encoder, root, config.revision)
    image = point_to_encoder(paths.encoders / "image", config.image_encoder, root)
    echo(f"{paths.encoders}: text {text}, image {image}")


if __name__ == "__main__":
    main()
