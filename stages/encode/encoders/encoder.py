"""What extraction needs of an encoder; `families.py` lists those that there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.models import picture_side


@dataclass(frozen=True)
class Pixels:
    """What a picture becomes before the encoder: a square of `size` pixels, normalised."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Shapes:
    """Widths of an encoder's features; image widths are 0 and n_p is 0 without pictures."""

    d_t: int
    d_local: int
    d_image: int
    d_patch: int
    n_p: int


class TextEncoder(Protocol):
    """A frozen encoder of texts on one device."""

    shapes: Shapes
    device: torch.device

    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids, mask (n, n_t) -> global (n, d_t), local (n, n_t, d_local)."""


class ImageEncoder(Protocol):
    """A frozen encoder of pictures on one device."""

    shapes: Shapes
    device: torch.device

    @property
    def pixels(self) -> Pixels | None:
        """What it takes; None where it takes no picture."""

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels (n, 3, size, size) -> global (n, d_image), local (n, n_p, d_patch)."""


class Encoder(TextEncoder, ImageEncoder, Protocol):
    """Of both, or of texts alone."""

    def projections(self) -> dict[str, np.ndarray]:
        """Matrices that turn hidden states into the encoder's own embeddings, float32."""


def pixels_of(checkpoint: Checkpoint, native: int) -> Pixels:
    """Size and normalisation as the checkpoint's preprocessor says; no normalisation where it says
    so.

    Args:
        native: side of the pictures that the model was built for.

    Raises:
        CheckpointError: there is no preprocessor, or it is of a model of another size.
    """
    said, size = checkpoint.preprocessor, picture_side(checkpoint, native) or native
    if said.get("do_normalize") is False:
        return Pixels(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean, std = said.get("image_mean"), said.get("image_std")
    if mean is None or std is None:
        raise CheckpointError(
            f"{checkpoint.folder}: preprocessor_config.json with image_mean and image_std "
            "is missing",
            "copy it from the model's own folder",
        )
    return Pixels(size, tuple(mean), tuple(std))


def pad_ids(rows: Sequence[np.ndarray], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids padded to the longest row, and the mask of real tokens, both (n, n_t)."""
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), pad, dtype=np.int64)
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids[mask] = np.concatenate(rows)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)
