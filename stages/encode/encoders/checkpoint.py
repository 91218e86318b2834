"""A checkpoint: a local folder, or a hub name resolved to one. Imports no torch, so asking whether
a store is finished stays quick."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.encode.encoders import rules
from stages.encode.encoders.files import (
    PREPROCESSORS,
    TOKENIZERS,
    CheckpointError,
    any_of,
    file_hash,
    identity_files,
    read_any_json,
    read_json,
    refuse_other_kinds,
    weight_files,
)
from stages.encode.encoders.hub import snapshot

__all__ = ["Checkpoint", "CheckpointError", "find_checkpoint", "not_loaded"]

_MEND = "correct it, or download the file again"


def not_loaded(folder: Path, what: str, error: Exception, hint: str) -> CheckpointError:
    """The error to raise where transformers raised `error`, in one line."""
    if "trust_remote_code" in str(error):  # it was told False: it neither asks nor runs any
        return CheckpointError(
            f"{folder}: cannot load {what}: it needs code of its own (auto_map), and code of a "
            "checkpoint is never run",
            "take a checkpoint of a model that transformers has itself",
        )
    if isinstance(error, ImportError):
        hint = "pip install 'melov-cache[siglip]': it may need sentencepiece and protobuf"
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    said = first if " " in first else f"{type(error).__name__} {first}".strip()
    return CheckpointError(f"{folder}: cannot load {what}: {said}", hint)


@dataclass(frozen=True)
class Checkpoint:
    """A folder in transformers' own format. What its JSON files say is read once, and checked."""

    name: str
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        config = read_json(path)
        _refuse(path, rules.broken_config(config))
        if "model_type" not in config:
            raise CheckpointError(f"{path}: says no model_type", _MEND)
        return config

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """Mean, standard deviation and scale of pixels; an empty mapping where it says none."""
        said: dict[str, Any] = {}
        for name in PREPROCESSORS:
            path = self.folder / name
            if not path.exists():
                continue
            loaded = read_json(path)
            # In transformers' order: the one that holds all parts of a processor goes first.
            nested = loaded.get("image_processor")
            if isinstance(nested, dict) or not said:
                said = nested if isinstance(nested, dict) else loaded
                _refuse(path, rules.broken(said, rules.PREPROCESSOR))
        return said

    @cached_property
    def tokenizer(self) -> dict[str, Any]:
        """What tokenizer_config.json says."""
        return _optional(self.folder / "tokenizer_config.json", rules.TOKENIZER)

    @cached_property
    def modules(self) -> list[tuple[str, str]]:
        """Of a sentence encoder, kind and folder of each step, such as ("Pooling", "1_Pooling")."""
        path = self.folder / "modules.json"
        if not path.exists():
            return []
        loaded = read_any_json(path)
        if not isinstance(loaded, list) or not all(isinstance(step, dict) for step in loaded):
            raise CheckpointError(f"{path}: expected a list of mappings", _MEND)
        for number, step in enumerate(loaded):
            _refuse(path, rules.broken(step, rules.MODULE, f"{number}."))
        kinds = [str(step.get("type")).rpartition(".")[2] for step in loaded]
        return list(zip(kinds, [step.get("path") or "" for step in loaded], strict=True))

    @property
    def pooling_file(self) -> Path:
        """Where a sentence encoder's folder says how it pools; it may not be there."""
        return self.folder / (dict(self.modules).get("Pooling") or "1_Pooling") / "config.json"

    @cached_property
    def pooling(self) -> dict[str, Any]:
        """What it says; an empty mapping where nothing."""
        return _optional(self.pooling_file, rules.POOLING)

    def identity(self) -> str:
        """Hash of weights, configuration, tokenizer and preprocessing (hex, 128 bits)."""
        state = hashlib.blake2b(digest_size=16)
        for path in identity_files(self.folder, self.pooling_file):
            state.update(path.relative_to(self.folder).as_posix().encode())
            state.update(file_hash(path))
        return state.hexdigest()

    def require_tokenizer(self) -> None:
        if not any_of(self.folder, TOKENIZERS):
            raise CheckpointError(
                f"{self.folder}: holds no tokenizer (looked for {', '.join(TOKENIZERS)})",
                "save it there: AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
            )

    def check(self) -> None:
        """Read every file of settings.

        Raises:
            CheckpointError: a value has another type or range than any encoder has.
        """
        first = next((path for _, path in self.modules), "")
        if first:  # as older sentence encoders, and CLIP among them, are laid out
            raise CheckpointError(
                f"{self.folder}: its model is in a folder of its own (modules.json)",
                f"name that folder, and how texts are pooled: {self.name}/{first}",
            )
        if not (self.folder / "config.json").exists():
            raise CheckpointError(f"{self.folder}: no checkpoint: config.json is missing")
        for _ in (self.config, self.preprocessor, self.tokenizer, self.pooling):
            pass


def _optional(path: Path, table: Mapping[str, rules.Rule]) -> dict[str, Any]:
    said = read_json(path) if path.exists() else {}
    _refuse(path, rules.broken(said, table))
    return said


def _refuse(path: Path, problem: str | None) -> None:
    if problem is not None:
        raise CheckpointError(f"{path}: {problem}", _MEND)


def find_checkpoint(name: str, revision: str | None = None, root: Path = Path()) -> Checkpoint:
    """A local folder, relative to `root`; else the hub's snapshot, from its cache if it is there.

    Raises:
        CheckpointError: no such folder and no such model, no network, files are missing, or a file
            of settings says what cannot be.
    """
    folder = root / name
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") != 1:
            raise CheckpointError(
                f"{name}: no such checkpoint folder",
                "give a folder in transformers' format, or a hub name such as "
                "openai/clip-vit-base-patch32",
            )
        folder = snapshot(name, revision)
    checkpoint = Checkpoint(name, folder)
    checkpoint.check()
    refuse_other_kinds(folder)
    weight_files(folder)
    return checkpoint
