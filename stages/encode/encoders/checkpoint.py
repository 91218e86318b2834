"""A checkpoint: a local folder, or a hub name resolved to one. Imports no torch, so asking whether
a store is finished stays quick."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import MelovError

# In transformers' order: the first that is there is opened, an index with the shards it names.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
# What decides a text's or a picture's features; read-me files and other formats do not.
IDENTITY = (
    "config.json",
    "tokenizer*.json",
    "vocab.*",
    "merges.txt",
    "*.model",  # sentencepiece
    "added_tokens.json",
    "special_tokens_map.json",
    *PREPROCESSORS,
    "1_Pooling/config.json",
)


class CheckpointError(MelovError):
    """A folder or a hub name that gives no usable encoder."""


def not_loaded(folder: Path, what: str, error: Exception, hint: str) -> CheckpointError:
    """The error to raise where transformers raised `error`, in one line."""
    if "trust_remote_code" in str(error):  # it was told False: it neither asks nor runs any
        return CheckpointError(
            f"{folder}: cannot load {what}: it needs code of its own (auto_map), and code of a "
            "checkpoint is never run",
            "take a checkpoint of a model that transformers has itself",
        )
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return CheckpointError(f"{folder}: cannot load {what}: {first}", hint)


@dataclass(frozen=True)
class Checkpoint:
    """A folder in transformers' own format."""

    name: str
    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        return _read_json(self.folder / "config.json")

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", "unknown"))

    @property
    def positions(self) -> int | None:
        """Tokens that the text model has positions for, if its configuration says so."""
        positions = self.config.get("text_config", self.config).get("max_position_embeddings")
        return None if positions is None else int(positions)

    @property
    def preprocessor(self) -> dict[str, Any]:
        """Mean, standard deviation and scale of pixels; an empty mapping where it says none."""
        for name in PREPROCESSORS:
            path = self.folder / name
            if path.exists():
                loaded = _read_json(path)
                return dict(loaded.get("image_processor", loaded))
        return {}

    def identity(self) -> str:
        """Hash of weights, configuration, tokenizer and preprocessing (hex, 128 bits)."""
        state = hashlib.blake2b(digest_size=16)
        paths = {p for pattern in IDENTITY for p in self.folder.glob(pattern)}
        paths.update(weight_files(self.folder))
        for path in sorted(paths):
            state.update(path.relative_to(self.folder).as_posix().encode())
            with path.open("rb") as file:
                state.update(hashlib.file_digest(file, "blake2b").digest())
        return state.hexdigest()

    def require_tokenizer(self) -> None:
        if not _any_of(self.folder, TOKENIZERS):
            raise CheckpointError(
                f"{self.folder}: holds no tokenizer (looked for {', '.join(TOKENIZERS)})",
                "save it there: AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}", "download the file again") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: expected a mapping, found {type(loaded).__name__}")
    return loaded


def weight_files(folder: Path) -> list[Path]:
    """The files that loading opens for weights, and no others that lie beside them.

    Raises:
        CheckpointError: there are none; an index names no shards, or a shard that is not here.
    """
    first = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if first is None:
        raise CheckpointError(f"{folder}: no weights (looked for {', '.join(WEIGHTS)})")
    if first.suffix != ".json":
        return [first]
    named = _read_json(first).get("weight_map")
    shards = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    if not shards:
        raise CheckpointError(f"{first}: names no shards (weight_map)", "download the file again")
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise CheckpointError(
                f"{first}: names the shard {shard!r}, which is not in its folder",
                "download the folder again, every shard included",
            )
    return [first, *(folder / shard for shard in shards)]


def find_checkpoint(name: str, revision: str | None = None, root: Path = Path()) -> Checkpoint:
    """A local folder, relative to `root`; else the hub's snapshot, from its cache if it is there.

    Raises:
        CheckpointError: no such folder and no such model, no network, or files are missing.
    """
    folder = root / name
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") != 1:
            raise CheckpointError(
                f"{name}: no such checkpoint folder",
                "give a folder in transformers' format, or a hub name such as "
                "openai/clip-vit-base-patch32",
            )
        folder = _snapshot(name, revision)
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{folder}: no checkpoint: config.json is missing")
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{folder}: adapter_config.json: an adapter changes another model's weights",
            "merge it and save the whole model: model.merge_and_unload().save_pretrained(FOLDER)",
        )
    weight_files(folder)
    return Checkpoint(name, folder)


def _any_of(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).exists() for name in names)


def _is_whole(folder: Path) -> bool:
    """Whether a hub's cached folder has what its model needs: a model of two towers, such as CLIP,
    needs a tokenizer and a preprocessor, another one of the two."""
    if not _any_of(folder, ("config.json",)) or not _any_of(folder, WEIGHTS):
        return False
    if "vision_config" in _read_json(folder / "config.json"):
        return _any_of(folder, TOKENIZERS) and _any_of(folder, PREPROCESSORS)
    return _any_of(folder, (*TOKENIZERS, *PREPROCESSORS))


def _snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.safetensors", "1_Pooling/*"]
    try:
        with suppress(LocalEntryNotFoundError):
            cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
            # Other programs may have fetched a part of it, such as the tokenizer alone.
            if _is_whole(cached):
                return cached
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
        if not _any_of(folder, WEIGHTS):
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
