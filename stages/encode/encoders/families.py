"""The families of encoders, in one registry: which checkpoints each takes, and what opens them.

A new family is a class with the members of `Encoder`, called as `Family.open` is, and an entry in
`FAMILIES`. Nothing here imports torch before an encoder is opened, so asking whether a store is
finished stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, find_checkpoint
from stages.encode.encoders.models import TEXT_MODELS, image_model
from stages.lazy import lazily

if TYPE_CHECKING:
    import torch

    from stages.encode.encoders.encoder import Encoder
    from stages.encode.tokens import Tokenizer


@dataclass(frozen=True)
class Checkpoints:
    """The text checkpoint and the image checkpoint of an extraction; the latter may be none."""

    text: Checkpoint
    image: Checkpoint | None


@dataclass(frozen=True)
class Family:
    """One kind of encoder.

    Args:
        name: for messages.
        accepts: whether a text checkpoint, by the model_type of its config.json, is of this family.
        own_images: whether pictures go through the text's own checkpoint, as CLIP's do; else
            through one of their own.
        open: the class, which loads the weights, frozen, in a precision on a device.
        joint_space: whether global texts and pictures are in one space, so that a cosine of the two
            says something.
    """

    name: str
    accepts: Callable[[str], bool]
    own_images: bool
    open: Callable[[Checkpoints, ExtractConfig, torch.device, torch.dtype], Encoder]
    joint_space: bool = False


FAMILIES: list[Family] = [
    Family(
        "CLIP",
        lambda model_type: model_type == "clip",
        True,
        lazily("stages.encode.encoders.clip:ClipEncoder"),
        joint_space=True,
    ),
    Family(
        "Chinese-CLIP",
        lambda model_type: model_type == "chinese_clip",
        True,
        lazily("stages.encode.encoders.clip:ChineseClipEncoder"),
        joint_space=True,
    ),
    Family(
        "SigLIP",
        lambda model_type: model_type == "siglip",
        True,
        lazily("stages.encode.encoders.siglip:SiglipEncoder"),
        joint_space=True,
    ),
    Family(
        "BERT-like",
        lambda model_type: model_type in TEXT_MODELS,
        False,
        lazily("stages.encode.encoders.bert_vit:BertVitEncoder"),
    ),
]
"""The first that accepts a text checkpoint is its family."""


def family_of(text: Checkpoint) -> Family:
    """Which one a text checkpoint is of.

    Raises:
        CheckpointError: of none that is supported.
    """
    found = next((family for family in FAMILIES if family.accepts(text.model_type)), None)
    if found is None:
        own = [family.name for family in FAMILIES if family.own_images]
        code = " (code of a checkpoint is never run)" if "auto_map" in text.config else ""
        raise CheckpointError(
            f"{text.folder}: models of type {text.model_type} are not supported as text encoders"
            f"{code}; supported: {', '.join([*own, *TEXT_MODELS])}",
            "name a checkpoint of one of these: --set extract.text_encoder=FOLDER",
        )
    return found


def find_checkpoints(config: ExtractConfig, root: Path = Path()) -> Checkpoints:
    """Resolve the configuration's encoders to folders, without loading a weight.

    Args:
        root: the project's folder, which local folders are relative to.

    Raises:
        CheckpointError: see `find_checkpoint`; also for `image_encoder: same` with a family of text
            alone, and for another image encoder than its own with one that has its own.
    """
    text = find_checkpoint(config.text_encoder, config.revision, root)
    family = family_of(text)
    text.require_tokenizer()
    if config.image_encoder == "none":
        return Checkpoints(text, None)
    if config.image_encoder == "same":
        if not family.own_images:
            raise CheckpointError(
                f"{text.name}: a {text.model_type} model encodes no pictures",
                "name a ViT or none: --set extract.image_encoder=none",
            )
        return Checkpoints(text, text)
    if family.own_images:
        raise CheckpointError(
            f"{text.name}: {family.name}'s text encoder goes with {family.name}'s own image "
            "encoder",
            "--set extract.image_encoder=same, or name a BERT-like text encoder",
        )
    image = find_checkpoint(config.image_encoder, root=root)
    image_model(image)
    return Checkpoints(text, image)


def open_encoder(
    checkpoints: Checkpoints,
    config: ExtractConfig,
    device: torch.device,
    dtype: torch.dtype,
    tokenizer: Tokenizer | None = None,
) -> Encoder:
    """Load the weights, frozen, in `dtype` on `device`, and look at what they give.

    Args:
        tokenizer: of the text checkpoint, where it is loaded already.

    Raises:
        CheckpointError: the files do not make the family's model, or one of no use; see `probe`.
    """
    from stages.encode.encoders.probe import probe
    from stages.encode.tokens import Tokenizer

    encoder = family_of(checkpoints.text).open(checkpoints, config, device, dtype)
    image = None if checkpoints.image is None else checkpoints.image.name
    probe(
        encoder,
        tokenizer or Tokenizer(checkpoints.text, config.max_tokens),
        checkpoints.text.name,
        image,
    )
    return encoder
