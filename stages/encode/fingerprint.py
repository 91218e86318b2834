"""Everything that decides what a store of features holds: other fields, other store."""

import socket
from typing import Any

from cache.fingerprint import Fingerprint
from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.families import Checkpoints
from stages.encode.encoders.models import picture_side
from stages.encode.record_arrays.registry import RECORD_ARRAYS

FEATURES_VERSION = 5
"""Raise it with any change of code that moves a feature: no store from before is then taken for
finished, and no row of one is carried over."""


def fingerprint_of(
    records_digest: str, checkpoints: Checkpoints, config: ExtractConfig, dtype: str
) -> Fingerprint:
    """Of the store that these records, encoders and settings make.

    Args:
        dtype: precision of the forward pass, not `auto`.
    """
    text, image = checkpoints.text, checkpoints.image
    of_text = text.identity()
    of_image = None if image is None else of_text if image is text else image.identity()
    said: dict[str, Any] = {
        "records": records_digest,
        "text_encoder": of_text,
        "image_encoder": of_image,
        "image_size": None if image is None else picture_side(image),
        "max_tokens": config.max_tokens,
        "text_pooling": config.text_pooling,
        "resize": None if image is None else config.resize,
        "exif": None if image is None else config.exif,
        "dtype": dtype,
        # The other rows of a batch move a feature's last bits.
        "batch_texts": config.batch_texts,
        "batch_images": None if image is None else config.batch_images,
        "features_version": FEATURES_VERSION,
    }
    for array in RECORD_ARRAYS.values():
        said |= array.fingerprint(config)
    return Fingerprint(said)


def require_told(fingerprint: Fingerprint, **found: Checkpoint | None) -> None:
    """Compare encoders that another process has found with those that a store is made with.

    Args:
        found: by their fields of the fingerprint.

    Raises:
        CheckpointError: one has other files.
    """
    for field, checkpoint in found.items():
        if checkpoint is not None and checkpoint.identity() != fingerprint.fields[field]:
            raise CheckpointError(
                f"{checkpoint.folder}: has other files on {socket.gethostname()} than where the "
                "command was given",
                "have the same encoder on every machine: a folder that all of them share",
            )


def computed_fields(config: ExtractConfig) -> set[str]:
    """Fields that decide only what needs no encoder: an update computes that again, and copies the
    features that are there."""
    return {"records", *(name for a in RECORD_ARRAYS.values() for name in a.fingerprint(config))}
