"""Any BERT-like text model, with any ViT or with none."""

import json

import numpy as np
import torch
from torch import Tensor

from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.encoder import Pixels, Shapes, pixels_of
from stages.encode.encoders.families import Checkpoints
from stages.encode.encoders.pretrained import load_frozen

_OLD_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def text_pooling(checkpoint: Checkpoint, asked: str) -> str:
    """`cls` or `mean`: what was asked for, else what a sentence encoder's folder says, else cls."""
    if asked != "auto":
        return asked
    path = checkpoint.folder / "1_Pooling" / "config.json"
    if not path.exists():
        return "cls"
    said = json.loads(path.read_text(encoding="utf-8"))
    # sentence-transformers names the mode; its older versions set one flag of several.
    named = said.get("pooling_mode") or [k for k, on in said.items() if on and k in _OLD_FLAGS]
    modes = [named] if isinstance(named, str) else [_OLD_FLAGS.get(mode, mode) for mode in named]
    if modes not in (["cls"], ["mean"]):
        raise CheckpointError(
            f"{path}: pools texts by {' and '.join(modes) or 'nothing'}, expected cls or mean",
            "choose one: --set extract.text_pooling=cls, or mean",
        )
    return str(modes[0])


class BertVitEncoder:
    """global text = [CLS] or the mean over real tokens; global image = the CLS state of the last
    hidden states; local = all of them (section 3.1). A ViT's have passed its last layer norm, those
    of CLIP's vision tower have not."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: ExtractConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device = device
        self.pooling = text_pooling(checkpoints.text, config.text_pooling)
        self.text = load_frozen("AutoModel", checkpoints.text, device, dtype)
        d_t = self.text.config.hidden_size
        self.image = None
        self.pixels: Pixels | None = None
        self.shapes = Shapes(d_t, d_t, 0, 0, 0)
        if checkpoints.image is None:
            return
        of_clip = checkpoints.image.model_type == "clip"
        self.image = load_frozen(
            "CLIPVisionModel" if of_clip else "AutoModel", checkpoints.image, device, dtype
        )
        vit = self.image.config
        try:
            size, _ = vit.image_size, vit.patch_size
        except AttributeError:
            raise CheckpointError(
                f"{checkpoints.image.folder}: a {vit.model_type} model is no ViT "
                "(no image_size and patch_size)"
            ) from None
        self.pixels = pixels_of(checkpoints.image, size)
        probe = torch.zeros(1, 3, size, size, device=device)
        n_p = self._hidden(probe).shape[1]  # some ViTs have more special tokens than CLS
        self.shapes = Shapes(d_t, d_t, vit.hidden_size, vit.hidden_size, n_p)

    @torch.inference_mode()
    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        local = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return local[:, 0], local
        weight = mask.unsqueeze(-1).to(local.dtype)
        return (local * weight).sum(1) / weight.sum(1), local

    @torch.inference_mode()
    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        local = self._hidden(pixels)
        return local[:, 0], local

    def _hidden(self, pixels: Tensor) -> Tensor:
        assert self.image is not None
        with torch.inference_mode():
            out = self.image(pixel_values=pixels.to(self.image.dtype))
        hidden: Tensor = out.last_hidden_state
        return hidden

    def projections(self) -> dict[str, np.ndarray]:
        return {}
