"""Links to the encoders' local folders, for DVC:  python -m pipeline.encoders --dataset wikimel"""

from pipeline.cli import command, echo
from stages.config import Params
from stages.encode.encoders.folders import point_to_encoder, point_to_further
from stages.paths import DatasetPaths


@command("Link the encoders' local folders in data/NAME/encoders, where DVC looks for changes.")
def main(params: Params, paths: DatasetPaths) -> None:
    config, root = params.extract, paths.root
    text = point_to_encoder(paths.encoders / "text", config.text_encoder, root, config.revision)
    image = point_to_encoder(paths.encoders / "image", config.image_encoder, root)
    named = {**config.text_encoders, **config.image_encoders}
    further = point_to_further(
        paths.encoders / "further", {n: (e.encoder, e.revision) for n, e in named.items()}, root
    )
    echo(f"{paths.encoders}: text {text}, image {image}, further {further}")


if __name__ == "__main__":
    main()
