"""What encoding costs when it is not cached: CLIP ViT-B/32, frozen, on every batch again."""

from __future__ import annotations

import statistics
import time

import torch
from transformers import CLIPConfig, CLIPModel

from stages.device import DTYPES, resolve_dtype

LAPS = 2


class FrozenClip:
    """Random weights in the published shapes: what they cost does not depend on their values."""

    def __init__(self) -> None:
        device = torch.device("cpu")
        self.dtype = resolve_dtype("auto", device)
        config = CLIPConfig()  # its defaults are ViT-B/32's
        self.image_size: int = config.vision_config.image_size
        self.vocabulary: int = config.text_config.vocab_size
        self.model = CLIPModel(config).to(DTYPES[self.dtype]).eval()

    def seconds(self, pictures: int, texts: int, tokens: int, share: float = 1.0) -> float:
        """To encode that many pictures and texts of `tokens` tokens, decoding not counted; measured
        on a `share` of them and scaled, the cost being linear in either. Median of LAPS."""
        some_pictures, some_texts = (max(1, round(share * n)) for n in (pictures, texts))
        pixels = torch.randn(some_pictures, 3, self.image_size, self.image_size)
        ids = torch.randint(self.vocabulary, (some_texts, tokens))
        found = []
        for lap in range(LAPS + 1):
            begun = time.perf_counter()
            self._encode(pixels, ids)
            if lap:
                found.append(time.perf_counter() - begun)
        return statistics.median(found) * pictures / some_pictures

    @torch.inference_mode()
    def _encode(self, pixels: torch.Tensor, ids: torch.Tensor) -> None:
        self.model.vision_model(pixel_values=pixels.to(DTYPES[self.dtype]))
        self.model.text_model(input_ids=ids, attention_mask=torch.ones_like(ids))
