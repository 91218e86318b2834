"""The files of a checkpoint's folder: their names, which of them loading opens, how one is read.
Imports no torch, so asking whether a store is finished stays quick."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cache.errors import MelovError
from cache.strict import check_regular, parse_json, read_regular

# In transformers' order: the first that is there is opened, an index with the shards it names.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZERS = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",  # of sentencepiece, as are the others
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
)
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
# What decides a text's or a picture's features, and what transformers opens besides (templates of
# chats); read-me files and other formats do not.
_IDENTITY = (
    "config.json",
    "tokenizer*.json",
    "vocab.*",
    "merges.txt",
    "*.model",  # sentencepiece
    "bpe.codes",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_templates/*.jinja",
    *PREPROCESSORS,
    "modules.json",
)
_MOST_JSON = 2**26
"""Bytes of a file of settings; one with 22,000 classes has 1.5 million."""
_DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
_AGAIN = "download the file again"


class CheckpointError(MelovError):
    """A folder or a hub name that gives no usable encoder."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: there is none, in words with the place.
    """
    loaded = read_any_json(path)
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: expected a mapping, found {type(loaded).__name__}", _AGAIN)
    return loaded


def read_any_json(path: Path) -> Any:
    """The same of any JSON."""
    return parse_json(read_regular(path, _damaged, _MOST_JSON), str(path), _damaged)


def any_of(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).exists() for name in names)


def weight_files(folder: Path) -> list[Path]:
    """The files that loading opens for weights, and no others that lie beside them.

    Raises:
        CheckpointError: there are none; an index names no shards, or a shard that is not here.
    """
    first = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if first is None:
        config = folder / "config.json"
        has_code = config.exists() and "auto_map" in read_json(config)
        code = "; code of a checkpoint is never run" if has_code else ""
        raise CheckpointError(f"{folder}: no weights (looked for {', '.join(WEIGHTS)}){code}")
    if first.suffix != ".json":
        _require_regular(first)
        return [first]
    named = read_json(first).get("weight_map")
    shards = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    if not shards:
        raise CheckpointError(f"{first}: names no shards (weight_map)", _AGAIN)
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise CheckpointError(
                f"{first}: names the shard {shard!r}, which is not in its folder",
                "download the folder again, every shard included",
            )
        _require_regular(folder / shard)
    return [first, *(folder / shard for shard in shards)]


def identity_files(folder: Path, *more: Path) -> list[Path]:
    """All files that decide features: weights, settings, tokenizer and those of `more` that exist.

    Raises:
        CheckpointError: as `weight_files` does.
    """
    found = {path for pattern in _IDENTITY for path in folder.glob(pattern)}
    return sorted(found.union(weight_files(folder), (path for path in more if path.exists())))


def file_hash(path: Path) -> bytes:
    """BLAKE2b of a file, however large.

    Raises:
        CheckpointError: it is no regular file, or cannot be read.
    """
    _require_regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as problem:
        raise CheckpointError(f"{path}: {problem.strerror}", "make it readable") from None


def refuse_other_kinds(folder: Path) -> None:
    """Refuse what transformers would load in place of the weights that are named here.

    Raises:
        CheckpointError: an adapter, or a distributed training's own checkpoint.
    """
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{folder}: adapter_config.json: an adapter changes another model's weights",
            "merge it and save the whole model: model.merge_and_unload().save_pretrained(FOLDER)",
        )
    for path in folder.glob("shard-*.safetensors"):
        if _DISTRIBUTED.fullmatch(path.name):
            raise CheckpointError(
                f"{path}: a part of a distributed training's checkpoint",
                "save the whole model: model.save_pretrained(FOLDER)",
            )


def _require_regular(path: Path) -> None:
    try:
        check_regular(path.stat().st_mode, str(path), _damaged)  # a pipe would be waited for
    except OSError as problem:  # such as a link to nothing
        raise _damaged(f"{path}: {problem.strerror}") from None


def _damaged(message: str) -> CheckpointError:
    return CheckpointError(message, _AGAIN)
