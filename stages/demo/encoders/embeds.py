"""Unit text_embeds and image_embeds of the demo's small CLIP, from strings and pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from stages.encode.decode import normalised
from stages.encode.encoders.encoder import Pixels

IMAGE_SIZE = 64
_PIXELS = Pixels(IMAGE_SIZE, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))
_TRAIN_TOKENS = 40  # what extraction reads of a text


def token_rows(texts: list[str], tokenizer: CLIPTokenizer, size: int) -> list[Tensor]:
    """Token ids of `size` texts at a time, int64 (size, longest)."""
    rows = tokenizer(texts, truncation=True, max_length=_TRAIN_TOKENS)["input_ids"]
    tensors = [torch.tensor(row) for row in rows]
    return [padded(tensors[i : i + size], tokenizer) for i in range(0, len(tensors), size)]


def padded(rows: list[Tensor], tokenizer: CLIPTokenizer) -> Tensor:
    """Rows of token ids as one int64 (n, longest), END at the end of the shorter ones."""
    # The padding token is END as well. Attention is causal and the first END is pooled, so what
    # follows it changes nothing and no mask is needed.
    return torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_token_id
    )


def unit_texts(model: CLIPModel, ids: Tensor) -> Tensor:
    """ids (n, n_t) -> unit text_embeds (n, d)."""
    pooled = model.text_model(input_ids=ids).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)


def unit_images(
    model: CLIPModel, pictures: np.ndarray, random: np.random.Generator | None = None
) -> Tensor:
    """uint8 (n, size, size, 3) -> unit image_embeds (n, d); with `random`, at varied contrast."""
    x = normalised(pictures, _PIXELS, torch.device("cpu"))  # (n, 3, size, size)
    if random is not None:
        contrast = random.uniform(0.8, 1.25, (len(x), 1, 1, 1)).astype(np.float32)
        x = x * torch.from_numpy(contrast)
    pooled = model.vision_model(pixel_values=x).pooler_output
    return F.normalize(model.visual_projection(pooled), dim=-1)
