"""CLIP and Chinese-CLIP: global = their own embeddings, local = last hidden states (text and
vision)."""

import numpy as np
import torch
from torch import Tensor

from stages.config import ExtractConfig
from stages.encode.encoders.encoder import Pixels, Shapes, pixels_of
from stages.encode.encoders.families import Checkpoints
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.encoders.quick_gelu import fold_quick_gelu
from stages.encode.encoders.rules import side_of


class ClipEncoder:
    """A CLIP checkpoint.

    text_embeds is the projection of the end-of-text token's last hidden state, image_embeds that
    of the normed CLS state. The end of a text is taken as its last real token, by the mask: which
    token the library pools has changed between versions.
    """

    kind = "CLIPModel"

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: ExtractConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device = device
        checkpoint, images = checkpoints.text, checkpoints.image is not None
        self.model = load_frozen(self.kind, checkpoint, device, dtype, fold_quick_gelu)
        text, vision = self.model.config.text_config, self.model.config.vision_config
        d = self.model.config.projection_dim
        size = side_of(vision.image_size)
        n_p = (size // side_of(vision.patch_size)) ** 2 + 1
        self.shapes = (
            Shapes(d, text.hidden_size, d, vision.hidden_size, n_p)
            if images
            else Shapes(d, text.hidden_size, 0, 0, 0)
        )
        self.pixels: Pixels | None = pixels_of(checkpoint, size) if images else None

    @torch.inference_mode()
    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        local: Tensor = self.model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.text_projection(self._whole(local, mask)), local

    @torch.inference_mode()
    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.model.vision_model
        local = vision(pixel_values=pixels.to(vision.dtype)).last_hidden_state
        pooled = vision.post_layernorm(local[:, 0])
        return self.model.visual_projection(pooled), local

    def projections(self) -> dict[str, np.ndarray]:
        found = {"text": self.model.text_projection.weight}
        if self.pixels is not None:
            norm = self.model.vision_model.post_layernorm
            found |= {
                "image": self.model.visual_projection.weight,
                "image_norm_weight": norm.weight,
                "image_norm_bias": norm.bias,
            }
        return {name: w.detach().float().cpu().numpy() for name, w in found.items()}

    def _whole(self, local: Tensor, mask: Tensor) -> Tensor:
        """The state that stands for a text, (n, n_t, d_local) -> (n, d_local)."""
        end = mask.sum(1) - 1
        return local[torch.arange(len(local), device=local.device), end]


class ChineseClipEncoder(ClipEncoder):
    """A Chinese-CLIP checkpoint: its text tower is a BERT, and [CLS] stands for a text."""

    kind = "ChineseCLIPModel"

    def _whole(self, local: Tensor, mask: Tensor) -> Tensor:
        return local[:, 0]
