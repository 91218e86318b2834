"""ViLT: one transformer over a text's tokens and a picture's patches (Kim, Son and Kim, "ViLT:
Vision-and-Language Transformer Without Convolution or Region Supervision", ICML 2021)."""

import torch
from torch import Tensor

from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.encoder import Pixels, pixels_of
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.encoders.probe import look, probing_ids, probing_squares
from stages.encode.encoders.rules import side_of
from stages.encode.tokens import Tokenizer


class ViltEncoder:
    """A ViLT checkpoint. The joint vector is [CLS]'s last hidden state: the pooler behind it
    belongs to a pretraining task, and not every checkpoint has its weights.

    Args:
        d: width of the joint vector.

    Raises:
        CheckpointError: another model, or files that do not make one.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        require_vilt(checkpoint)
        self.device = device
        self.model = load_frozen("ViltModel", checkpoint, device, dtype, add_pooling_layer=False)
        config = self.model.config
        self.d: int = config.hidden_size
        self.pixels: Pixels = pixels_of(checkpoint, side_of(config.image_size))

    @torch.inference_mode()
    def encode_pairs(self, ids: Tensor, mask: Tensor, pixels: Tensor) -> Tensor:
        """ids, mask (n, n_t), normalised pixels (n, 3, size, size) -> (n, d)."""
        # transformers feeds the patches in an order that it draws. The result is the same but for
        # its last bits; a draw of its own keeps a batch's bits apart from what ran before it.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            out = self.model(
                input_ids=ids, attention_mask=mask, pixel_values=pixels.to(self.model.dtype)
            )
        joint: Tensor = out.last_hidden_state[:, 0]
        return joint


def open_vilt(
    checkpoint: Checkpoint, tokenizer: Tokenizer, device: torch.device, dtype: torch.dtype
) -> ViltEncoder:
    """Load the weights, and look at what they give.

    Raises:
        CheckpointError: as of `ViltEncoder`; or what it gives is of no use, see `probe`.
    """
    encoder = ViltEncoder(checkpoint, device, dtype)
    ids, mask = probing_ids(tokenizer, device)
    squares = probing_squares(encoder.pixels.size, device)
    look(
        f"{checkpoint.name}: a text of {ids.shape[1]} tokens with a picture",
        lambda: [encoder.encode_pairs(ids, mask, squares)],
        [(2, encoder.d)],
    )
    return encoder


def require_vilt(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError if the checkpoint is of another model."""
    if checkpoint.model_type != "vilt":
        raise CheckpointError(
            f"{checkpoint.name}: a model of type {checkpoint.model_type}, expected vilt",
            "such as --encoder dandelin/vilt-b32-mlm",
        )
