"""Any BERT-like text model, with any ViT or with none."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.encoder import Pixels, Shapes, pixels_of
from stages.encode.encoders.families import Checkpoints
from stages.encode.encoders.models import TEXT_MODELS, image_model
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.encoders.probe import attempted
from stages.encode.encoders.rules import side_of

_OLD_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


_STEPS = ("Transformer", "Pooling", "Normalize")
"""Of a sentence encoder: a length is nothing that the heads read, so the last is left out."""


def text_pooling(checkpoint: Checkpoint, asked: str) -> str:
    """`cls` or `mean`: what was asked for, else what a sentence encoder's folder says, else cls.

    Raises:
        CheckpointError: the folder pools otherwise, or passes texts on to further layers.
    """
    if asked != "auto":
        return asked
    others = [kind for kind, _ in checkpoint.modules if kind not in _STEPS]
    if others:
        raise CheckpointError(
            f"{checkpoint.folder / 'modules.json'}: its texts pass through {' and '.join(others)}, "
            f"expected {', '.join(_STEPS)} alone",
            "take the states before that: --set extract.text_pooling=mean, or cls",
        )
    said = checkpoint.pooling
    if not said:
        return "cls"
    # sentence-transformers names the mode; its older versions set one flag of several.
    named = said.get("pooling_mode") or [k for k, on in said.items() if on and k in _OLD_FLAGS]
    modes = [named] if isinstance(named, str) else [_OLD_FLAGS.get(mode, mode) for mode in named]
    if modes not in (["cls"], ["mean"]):
        raise CheckpointError(
            f"{checkpoint.pooling_file}: pools texts by {' and '.join(modes) or 'nothing'}, "
            "expected cls or mean",
            "choose one: --set extract.text_pooling=cls, or mean",
        )
    return str(modes[0])


class VitImages:
    """Any ViT: global image = the CLS state of the last hidden states; local = all of them (section
    3.1). A ViT's have passed its last layer norm, those of CLIP's vision tower have not."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        model = image_model(checkpoint)
        self.device, self.pooled = device, model.pooled
        read = ("pooler.",) if model.pooled else ()
        self.image = load_frozen(model.name, checkpoint, device, dtype, read=read)
        vit = self.image.config
        self.pixels = pixels_of(checkpoint, side_of(vit.image_size))
        size = self.pixels.size
        # Some have more special tokens than CLS, some none.
        _, local = attempted(
            f"{checkpoint.name}: a picture of {size} pixels",
            lambda: self.encode_images(torch.zeros(1, 3, size, size, device=device)),
        )
        self.shapes = Shapes(0, 0, vit.hidden_size, vit.hidden_size, local.shape[1])

    @torch.inference_mode()
    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        out = self.image(pixel_values=pixels.to(self.image.dtype))
        local: Tensor = out.last_hidden_state
        return out.pooler_output if self.pooled else local[:, 0], local


class BertVitEncoder:
    """global text = [CLS] or the mean over real tokens; local = all of them (section 3.1); pictures
    as `VitImages` has them."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: ExtractConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device = device
        self.pooling = text_pooling(checkpoints.text, config.text_pooling)
        text = TEXT_MODELS[checkpoints.text.model_type]
        self.text = load_frozen(text.name, checkpoints.text, device, dtype)
        d_t = self.text.config.hidden_size
        self.images: VitImages | None = None
        self.pixels: Pixels | None = None
        self.shapes = Shapes(d_t, d_t, 0, 0, 0)
        if checkpoints.image is not None:
            self.images = VitImages(checkpoints.image, device, dtype)
            self.pixels = self.images.pixels
            self.shapes = replace(self.images.shapes, d_t=d_t, d_local=d_t)

    @torch.inference_mode()
    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        local = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return local[:, 0], local
        weight = mask.unsqueeze(-1).to(local.dtype)
        return (local * weight).sum(1) / weight.sum(1), local

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert self.images is not None
        return self.images.encode_images(pixels)

    def projections(self) -> dict[str, np.ndarray]:
        return {}
