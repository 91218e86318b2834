"""The settings that made a store, taken from it, so that nobody needs to say them again.

What is linked goes the way of what was extracted (`as_stored`). A later `extract`, after a change
of the knowledge base, does so too in all that nobody said for the data set (`as_before`).
"""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.store import recover_store
from stages.paths import DatasetPaths
from stages.section import validated

log = logging.getLogger(__name__)

DECIDING = ("max_tokens", "text_pooling", "resize", "exif", "dtype", "lexical_ngrams")
"""Settings of extraction that stand in a fingerprint under their own names."""
BATCHES = ("batch_texts", "batch_images")
"""More of them, which move last bits: new mentions stand in batches of their own anyway."""
ENCODER = ("text_encoder", "image_encoder", "revision")
"""Settings that name the encoder; they are taken together or not at all."""


class Made(Protocol):
    """What a store says of how its features were made."""

    @property
    def path(self) -> Path | str: ...
    @property
    def fingerprint(self) -> Fingerprint: ...
    @property
    def attributes(self) -> dict[str, Any]: ...


def deciding(made: Made, config: ExtractConfig) -> ExtractConfig:
    """`config` with the settings that decided the features.

    Raises:
        ConfigError: the fingerprint names a setting that cannot be.
    """
    return _taken(made, config, DECIDING)


def as_stored(store: Made, config: ExtractConfig) -> ExtractConfig:
    """The same. Where the parameters say otherwise, a line in the log tells of it."""
    found = deciding(store, config)
    for name in DECIDING:
        asked, stored = getattr(config, name), getattr(found, name)
        if asked not in (stored, "auto"):
            log.info("extract.%s: %s, as the store was made, not %s", name, stored, asked)
    return found


def with_encoder_of(store: Made, config: ExtractConfig, root: Path) -> ExtractConfig:
    """`config` with the encoder that the store names.

    Where the store's folder is not here (it was made on another machine) and the parameters name
    one that is, that one stands in; its hash is compared all the same.
    """
    named = encoder_settings(store)
    text = named["text_encoder"]
    if (root / config.text_encoder).is_dir() and not (root / text).is_dir():
        return config
    if config.text_encoder == text and named["revision"] is None:
        named["revision"] = config.revision
    return config.model_copy(update=named)


def as_before(paths: DatasetPaths, config: ExtractConfig, said: Collection[str]) -> ExtractConfig:
    """`config` with the settings of the store that is there, in all that was not said for this data
    set; a line in the log tells which, and another one what was said and is other than before.

    Where another encoder is said, all of `config` stays: what suited the old one may not suit it.

    Args:
        said: keys of `extract` that count as said (`Params.said`).

    Raises:
        ConfigError: the store names a setting that cannot be.
    """
    recover_store(paths)
    store = None
    if paths.store.exists():
        with suppress(StoreError):  # extraction says what is wrong with it
            store = FeatureStore.open(paths.store)
    if store is None or not store.attributes.get("text_encoder"):
        return config  # nothing is there, or it was computed elsewhere
    found = config
    if not set(ENCODER) & set(said):
        found = with_encoder_of(store, config, paths.root)
    elif not _names_encoder_of(store, config):
        log.info("%s: another encoder is asked for than made it", paths.store)
        return config
    found = _taken(store, found, [name for name in (*DECIDING, *BATCHES) if name not in said])
    _tell(paths, "as it was made, since nothing else is said for it", config, found)
    other = _taken(store, found, [name for name in DECIDING if name in said])
    _tell(paths, "said now, other than it was made", other, found)
    return found


def _taken(store: Made, config: ExtractConfig, names: Iterable[str]) -> ExtractConfig:
    """`config` with the settings of these names that stand in the store's fingerprint."""
    said = store.fingerprint.fields
    own = {name: said[name] for name in names if said.get(name) is not None}
    return validated(ExtractConfig, {**config.model_dump(), **own}, f"{store.path}: fingerprint")


def encoder_settings(store: Made) -> dict[str, Any]:
    """The encoder, as the parameters of `extract` name it."""
    about = store.attributes
    text, image = about["text_encoder"], about.get("image_encoder")
    image = "none" if image is None else "same" if image == text else image
    return {"text_encoder": text, "image_encoder": image, "revision": about.get("revision")}


def _names_encoder_of(store: FeatureStore, config: ExtractConfig) -> bool:
    named = encoder_settings(store)
    same = config.image_encoder in (named["image_encoder"], named["text_encoder"])
    if named["image_encoder"] != "same":
        same = config.image_encoder == named["image_encoder"]
    return same and config.text_encoder == named["text_encoder"]


def _tell(paths: DatasetPaths, how: str, before: ExtractConfig, after: ExtractConfig) -> None:
    was = before.model_dump()
    changed = [
        f"extract.{name}={value} (not {was[name]})"
        for name, value in after.model_dump().items()
        if value != was[name] and was[name] != "auto"
    ]
    if changed:
        log.info("%s: %s: %s", paths.store, how, ", ".join(changed))
