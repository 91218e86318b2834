"""SigLIP (Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023): global = its own
embeddings, local = last hidden states."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import CheckpointError
from stages.encode.encoders.encoder import Pixels, Shapes, pixels_of
from stages.encode.encoders.families import Checkpoints
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.encoders.rules import side_of
from stages.encode.tokens import Tokenizer


class SiglipEncoder:
    """A SigLIP checkpoint, or a SigLIP 2 of fixed resolution.

    Its texts fill all positions in training, with padding that is read like any token, and the last
    position's state stands for a text. So each text is padded to all positions here, whatever
    stands beside it; the states of its real tokens are its local features. A picture has no [CLS]:
    a head that attends to all patches makes its global feature.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: ExtractConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device = device
        checkpoint = checkpoints.text
        self.model = load_frozen("SiglipModel", checkpoint, device, dtype)
        text, vision = self.model.config.text_config, self.model.config.vision_config
        if not vision.vision_use_head:
            raise CheckpointError(
                f"{checkpoint.folder / 'config.json'}: vision_config.vision_use_head: found False, "
                "expected True: without it pictures have no global feature",
                "take a checkpoint that was trained with the head",
            )
        self.positions: int = text.max_position_embeddings
        self.padding = Tokenizer(checkpoint, config.max_tokens).pad
        self.shapes = Shapes(text.projection_size, text.hidden_size, 0, 0, 0)
        self.pixels: Pixels | None = None
        if checkpoints.image is not None:
            size, d = side_of(vision.image_size), vision.hidden_size
            n_p = (size // side_of(vision.patch_size)) ** 2
            self.shapes = Shapes(text.projection_size, text.hidden_size, d, d, n_p)
            self.pixels = pixels_of(checkpoint, size)

    @torch.inference_mode()
    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        n_t, padding = ids.shape[1], self.padding
        filled = pad(ids.where(mask.bool(), padding), (0, self.positions - n_t), value=padding)
        out = self.model.text_model(input_ids=filled)
        return out.pooler_output, out.last_hidden_state[:, :n_t]

    @torch.inference_mode()
    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.model.vision_model
        out = vision(pixel_values=pixels.to(vision.dtype))
        return out.pooler_output, out.last_hidden_state

    def projections(self) -> dict[str, np.ndarray]:
        return {}
