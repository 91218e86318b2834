"""A bundle: one folder with all that links, to be sent elsewhere.

    README.md           the model card; may be edited
    bundle.json         what it is of; vouches for every other file
    config.json, model.safetensors, …   the run's own files, byte by byte
    entities.parquet    id, name, aliases where there are some
    entities.zarr       which entities look alike, the keys of their contents, terms of their names
    sides/, codes/      the entities as the heads see them, exact and in eight bits
    training.zarr       features of the training mentions that the GCN reads
    encoder/            the encoder's files, where it was asked for

Files lie as `huggingface_hub` uploads and downloads them.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from cache.errors import DamagedError, MelovError
from cache.fingerprint import Fingerprint
from cache.sealed import Sealed
from stages.paths import Below
from stages.runs.folder import RunFolder
from stages.section import Section, checked

ENCODER = "encoder/"
"""How the paths of an encoder's files begin that are in the bundle."""
FORMAT = 2
"""Raise it with any change of what lies in a bundle."""

_CHUNK = re.compile(r"\.zarr/(.*/)?c\.[0-9.]+$")


class EncoderName(Section):
    """Where an encoder's files are: a hub name, an absolute folder, or one below the bundle."""

    name: str
    revision: str | None

    @property
    def is_inside(self) -> bool:
        """Whether its files are in the bundle."""
        return self.name.startswith(ENCODER)


class FurtherOrigin(Section):
    """Of a further encoder.

    Args:
        made_from: the fingerprint of its store.
    """

    reads: Literal["texts", "pictures"]
    encoder: EncoderName
    made_from: dict[str, Any]


class BundleInfo(Section):
    """`bundle.json`.

    Args:
        run: the seal of `config.json`.
        store, records: what names the data that the entities are of.
        image_encoder: None where there are no pictures.
        made_from: the fingerprint of the store: hashes of the encoders, and how their input is
            prepared.
        further: encoders that the run reads besides, by name.
    """

    format: int
    dataset: str
    variant: str
    seed: int
    run: str
    store: str
    records: str
    entities: int
    text_encoder: EncoderName
    image_encoder: EncoderName | None
    made_from: dict[str, Any]
    further: dict[str, FurtherOrigin]


NAMES = pa.schema([("id", pa.string()), ("name", pa.string())])
"""Of entities.parquet, which has `aliases` besides where an entity has some."""


@dataclass(frozen=True)
class Origin:
    """How the features came about, as a store says it (`stages/encode/as_before.py: Made`)."""

    path: Path
    fingerprint: Fingerprint
    attributes: dict[str, Any]

    @classmethod
    def of(cls, path: Path, info: BundleInfo) -> Origin:
        image = None if info.image_encoder is None else info.image_encoder.name
        named = {"text_encoder": info.text_encoder.name, "image_encoder": image}
        named["revision"] = info.text_encoder.revision
        return cls(path, Fingerprint(info.made_from), named)

    @classmethod
    def of_further(cls, path: Path, said: FurtherOrigin) -> Origin:
        named = {"encoder": said.encoder.name, "revision": said.encoder.revision}
        return cls(path, Fingerprint(said.made_from), named | {"reads": said.reads})

    def standing_in(self, encoder: str | None) -> Origin:
        """The same, of a further encoder that lies elsewhere; its hash is compared all the same."""
        if encoder is None:
            return self
        return replace(self, attributes={**self.attributes, "encoder": encoder, "revision": None})


@dataclass(frozen=True)
class BundleFolder:
    path: Path

    index = Below("bundle.json")
    card = Below("README.md")
    names = Below("entities.parquet")
    entities = Below("entities.zarr")
    sides = Below("sides")
    codes = Below("codes")
    training = Below("training.zarr")
    encoder = Below("encoder")

    @property
    def is_there(self) -> bool:
        """Whether anything of a bundle is here; it may be damaged."""
        return self.index.exists() or self.entities.exists()

    def read(self) -> tuple[Sealed, BundleInfo]:
        """`bundle.json`, and none of the files that it vouches for.

        Raises:
            MelovError: the folder is no bundle, or one of another version.
            DamagedError: the file is not as it was written.
        """
        again = written_again(self.path)
        try:
            sealed = Sealed.read(self.index, again)
        except OSError as error:
            said = f"{self.path}: no bundle: {self.index}: {error.strerror}"
            raise MelovError(said, again) from None
        held = sealed.content.get("format")
        if held != FORMAT:
            raise MelovError(
                f"{self.index}: a bundle of format {held!r:.20}, expected {FORMAT}", again
            )
        info = checked(BundleInfo, sealed)
        again = written_again(self.path, info)
        for name in sealed.files:
            if name.startswith("/") or ".." in name.split("/"):
                raise DamagedError(f"{self.index}: damaged: it names {name!r:.200}", again)
        return replace(sealed, hint=again), info

    def run(self, info: BundleInfo) -> RunFolder:
        """The run's files; damage of them is told of before they are read so."""
        run = f"--dataset {info.dataset} --variant {info.variant} --seed {info.seed}"
        return RunFolder(self.path, f"python -m pipeline.train {run}")

    def require_small(self, sealed: Sealed) -> None:
        """Compare every file but the card, the encoder's and the chunks of stores, whose rows are
        compared when they are read.

        Raises:
            DamagedError: one is missing or not as it was written; it is named.
        """
        for name in sealed.files:
            if not (name == self.card.name or name.startswith(ENCODER) or _CHUNK.search(name)):
                sealed.require(name)

    def require_encoder(self, sealed: Sealed) -> None:
        """Compare the encoder's files; raises as `require_small` does."""
        for name in sealed.files:
            if name.startswith(ENCODER):
                sealed.require(name)


def written_again(path: Path, info: BundleInfo | None = None) -> str:
    """How a damaged bundle is had again.

    Args:
        info: what it is of; None where nobody knows.
    """
    dataset, variant, seed, more = "NAME", "VARIANT", "SEED", ""
    if info is not None:
        dataset, variant, seed = info.dataset, info.variant, str(info.seed)
        more = " --with-encoder" if info.text_encoder.is_inside else ""
    run = f"--dataset {dataset} --variant {variant} --seed {seed}"
    command = f"python -m pipeline.bundle {run} --output {shlex.quote(str(path))} --force{more}"
    return f"download it again, or write it again: {command}"
