"""A hub name's files: out of the hub's cache where it has them all, else downloaded."""

from contextlib import suppress
from pathlib import Path

from stages.encode.encoders.files import (
    PREPROCESSORS,
    TOKENIZERS,
    WEIGHTS,
    CheckpointError,
    any_of,
    read_json,
)


def snapshot(name: str, revision: str | None) -> Path:
    """The folder of a hub name's files.

    Raises:
        CheckpointError: no such model, or no network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/*"]
    try:
        with suppress(LocalEntryNotFoundError):
            cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
            # Other programs may have fetched a part of it, such as the tokenizer alone.
            if _is_whole(cached):
                return cached
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
        if not any_of(folder, WEIGHTS):
            patterns.append("pytorch_model*.bin")  # its index is among *.json
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
        return folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{name}: neither a local folder nor to be had from the hub: {first}",
            "download it where there is a network and give its folder: "
            "--set extract.text_encoder=FOLDER",
        ) from None


def _is_whole(folder: Path) -> bool:
    """Whether a hub's cached folder has what its model needs: a model of two towers, such as CLIP,
    needs a tokenizer and a preprocessor, another one of the two."""
    if not any_of(folder, ("config.json",)) or not any_of(folder, WEIGHTS):
        return False
    if "vision_config" in read_json(folder / "config.json"):
        return any_of(folder, TOKENIZERS) and any_of(folder, PREPROCESSORS)
    return any_of(folder, (*TOKENIZERS, *PREPROCESSORS))
