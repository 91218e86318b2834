"""Further encoders: each beside the first one, with a store of global features of its own.

    data/NAME/further/ENCODER.zarr
        texts/global     of each distinct text: of records, and of mentions' sentences by themselves
        <group>/text     each record's text; mentions/<split>/sentence: each mention's sentence
    or  images/global    of each distinct picture; <group>/image: each record's

So an encoder is added, changed or removed without a look at the others, and a store of one is
resumed, updated and repaired as the first one's is. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.further import further_names, recover_further, require_further
from stages.encode.as_before import Made
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, find_checkpoint
from stages.encode.encoders.families import family_of
from stages.encode.encoders.models import image_model, picture_side
from stages.encode.fingerprint import FEATURES_VERSION
from stages.extract_settings import FurtherEncoder, FurtherTextEncoder
from stages.paths import DatasetPaths
from stages.section import validated

FURTHER_VERSION = 1
"""Raise it with any change of code that moves a feature of these stores alone."""


def further_encoders(config: ExtractConfig) -> dict[str, FurtherEncoder]:
    """By name: those of texts, then those of pictures."""
    return {**config.text_encoders, **config.image_encoders}


def find_further(config: ExtractConfig, name: str, root: Path) -> Checkpoint:
    """The checkpoint of a further encoder.

    Args:
        root: the project's folder, which local folders are relative to.

    Raises:
        CheckpointError: see `find_checkpoint`; it encodes no texts, or no pictures.
    """
    encoder = further_encoders(config)[name]
    try:
        found = find_checkpoint(encoder.encoder, encoder.revision, root)
        if name in config.text_encoders:
            family_of(found)
            found.require_tokenizer()
        else:
            image_model(found)
    except CheckpointError as error:
        raise of_further(error, config, name) from None
    return found


def of_further(error: CheckpointError, config: ExtractConfig, name: str) -> CheckpointError:
    """The error as it is to be told of a further encoder: its hint names the first one's keys."""
    kind = "text_encoders" if name in config.text_encoders else "image_encoders"
    hint = f"another checkpoint: --set extract.{kind}.{name}=FOLDER, or a hub name"
    if "text_pooling" in (error.hint or ""):
        encoder = further_encoders(config)[name].encoder
        hint = f"--set 'extract.{kind}.{name}={{encoder: {encoder}, pooling: mean}}', or cls"
    return CheckpointError(error.message, hint)


def further_fingerprint(
    records: str, checkpoint: Checkpoint, config: ExtractConfig, name: str, dtype: str
) -> Fingerprint:
    """Everything that decides what such a store holds.

    Args:
        dtype: precision of the forward pass.
    """
    said: dict[str, Any] = {
        "records": records,
        "dtype": dtype,
        "features_version": FEATURES_VERSION,
        "further_version": FURTHER_VERSION,
    }
    if name in config.text_encoders:
        return Fingerprint(
            said
            | {
                "text_encoder": checkpoint.identity(),
                "max_tokens": config.max_tokens,
                "text_pooling": config.text_encoders[name].pooling,
                "batch_texts": config.batch_texts,
            }
        )
    return Fingerprint(
        said
        | {
            "image_encoder": checkpoint.identity(),
            "image_size": picture_side(checkpoint),
            "resize": config.resize,
            "exif": config.exif,
            "batch_images": config.batch_images,
        }
    )


def further_as_before(
    paths: DatasetPaths, config: ExtractConfig, said: Collection[str]
) -> ExtractConfig:
    """`config` with the further encoders whose stores are there, where none were said.

    Args:
        said: keys of `extract` that count as said (`Params.said`).

    Raises:
        DamagedError: the list of them is not as it was written.
        ConfigError: a store names a setting that cannot be.
    """
    if {"text_encoders", "image_encoders"} & set(said):
        return config
    found: dict[str, dict[str, Any]] = {"text_encoders": {}, "image_encoders": {}}
    recover_further(paths)
    for name in further_names(paths):
        with suppress(StoreError):  # whoever reads it says what is wrong with it
            made = FeatureStore.open(paths.further_store(name))
            require_further(made)
            named, encoder = settings_of(made)
            found[named][name] = encoder.model_dump()
    where = f"{paths.further}: fingerprints"
    return validated(ExtractConfig, {**config.model_dump(), **found}, where)


def settings_of(store: Made) -> tuple[str, FurtherEncoder]:
    """The key of `extract` that the encoder of a store stands under, and what stands there.

    Raises:
        ConfigError: the store names a setting that cannot be.
    """
    about, said = store.attributes, store.fingerprint.fields
    named = {"encoder": about["encoder"], "revision": about.get("revision")}
    where = f"{store.path}: fingerprint"
    if about["reads"] == "pictures":
        return "image_encoders", validated(FurtherEncoder, named, where)
    named["pooling"] = said.get("text_pooling")
    return "text_encoders", validated(FurtherTextEncoder, named, where)
