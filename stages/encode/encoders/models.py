"""The models that may encode texts or pictures on their own, by the model_type of config.json.

A name stands here when a test shows that its features are those of the plain library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.rules import side_of


@dataclass(frozen=True)
class TextModel:
    """An encoder of texts alone.

    Args:
        name: transformers' class.
        first: the position of a text's first token, by the configuration: RoBERTa and its kin count
            from behind the number of the padding token, and have so many positions less.
    """

    name: str
    first: Callable[[Any], int] = lambda config: 0


def _behind_padding(config: Any) -> int:
    return int(config.pad_token_id) + 1


@dataclass(frozen=True)
class ImageModel:
    """An encoder of pictures alone, or the vision tower of a larger model.

    Args:
        name: transformers' class.
        pooled: whether its global feature is what its own pooler gives, and not the state of [CLS]:
            SigLIP has none, and BEiT's is one that training may not have shaped.
        any_size: whether it takes pictures of other sizes than it was trained with; its size is
            then the preprocessor's.
    """

    name: str
    pooled: bool = False
    any_size: bool = False


TEXT_MODELS: Mapping[str, TextModel] = {
    "albert": TextModel("AlbertModel"),
    "bert": TextModel("BertModel"),
    "camembert": TextModel("CamembertModel", _behind_padding),
    "deberta-v2": TextModel("DebertaV2Model"),
    "distilbert": TextModel("DistilBertModel"),
    "electra": TextModel("ElectraModel"),
    "ernie": TextModel("ErnieModel"),
    "modernbert": TextModel("ModernBertModel"),
    "mpnet": TextModel("MPNetModel", lambda config: 2),
    "roberta": TextModel("RobertaModel", _behind_padding),
    "xlm-roberta": TextModel("XLMRobertaModel", _behind_padding),
}
IMAGE_MODELS: Mapping[str, ImageModel] = {
    "beit": ImageModel("BeitModel", pooled=True),
    "chinese_clip": ImageModel("ChineseCLIPVisionModel"),
    "clip": ImageModel("CLIPVisionModel"),
    "clip_vision_model": ImageModel("CLIPVisionModel"),
    "deit": ImageModel("DeiTModel"),
    "dinov2": ImageModel("Dinov2Model", any_size=True),
    "dinov2_with_registers": ImageModel("Dinov2WithRegistersModel", any_size=True),
    "siglip": ImageModel("SiglipVisionModel", pooled=True),
    "siglip_vision_model": ImageModel("SiglipVisionModel", pooled=True),
    "vit": ImageModel("ViTModel"),
}


def image_model(checkpoint: Checkpoint) -> ImageModel:
    """Which one a checkpoint is of.

    Raises:
        CheckpointError: of none that is supported.
    """
    model = IMAGE_MODELS.get(checkpoint.model_type)
    if model is None:
        raise CheckpointError(
            f"{checkpoint.folder}: models of type {checkpoint.model_type} are not supported as "
            f"image encoders; supported: {', '.join(IMAGE_MODELS)}",
            "name one of these, or none: --set extract.image_encoder=none",
        )
    return model


def picture_side(checkpoint: Checkpoint, native: int | None = None) -> int | None:
    """Of the square that an image encoder is given.

    Args:
        native: what the model was built for, where config.json need not say it.

    Raises:
        CheckpointError: the preprocessor is of a model of another size.
    """
    config, said = checkpoint.config, checkpoint.preprocessor
    own = side_of((config.get("vision_config") or config).get("image_size")) or native
    model = IMAGE_MODELS.get(checkpoint.model_type)
    crops = said.get("do_center_crop") is not False
    asked = (_sides(said.get("crop_size")) if crops else []) or _sides(said.get("size"))
    if model is not None and model.any_size:
        return min(asked) if asked else own
    sides = _sides(said.get("crop_size")) + _sides(said.get("size"))
    if own and sides and own not in sides:
        raise CheckpointError(
            f"{checkpoint.folder}: the model takes pictures of {own} pixels (config.json), its "
            f"preprocessor makes them {min(asked or sides)}",
            "copy the preprocessor from the model's own folder",
        )
    return own


def _sides(said: object) -> list[int]:
    """Sides of a size in any of the forms that an image processor takes."""
    found = list(said.values()) if isinstance(said, dict) else said
    return [x for x in (found if isinstance(found, list) else [found]) if isinstance(x, int)]
