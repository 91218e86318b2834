"""How CLIP's features are mostly cached: transformers, float32, batch after batch, one np.save.

It runs in a process of its own, which extraction's settings of the memory allocator do not reach.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel

BATCH = 64
MAX_TOKENS = 40


@dataclass(frozen=True)
class PlainFeatures:
    """float32: texts (n, d), their tokens (n, 40, d_local) with lengths (n,), pictures (k, d),
    their patches (k, n_p, d_patch)."""

    texts: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    pictures: np.ndarray
    patches: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> PlainFeatures:
        return cls(**{field.name: np.load(folder / f"{field.name}.npy") for field in fields(cls)})


class PlainProcess:
    """Where the loop runs; the model is loaded in the first call and kept."""

    def __init__(
        self, folder: Path, mean: tuple[float, ...], std: tuple[float, ...], device: str
    ) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._model = (folder, tuple(mean), tuple(std), device)

    def __call__(self, files: list[Path], texts: list[str], target: Path) -> None:
        self._pool.submit(_encode, self._model, files, texts, target).result()

    def close(self) -> None:
        self._pool.shutdown()


def _encode(
    model: tuple[Path, tuple[float, ...], tuple[float, ...], str],
    files: list[Path],
    texts: list[str],
    target: Path,
) -> None:
    _opened(*model)(files, texts, target)


@cache
def _opened(
    folder: Path, mean: tuple[float, ...], std: tuple[float, ...], device: str
) -> PlainClip:
    return PlainClip(folder, mean, std, device)


class PlainClip:
    """The loop over some of a data set's files and texts; the same pixels as ours."""

    def __init__(
        self, folder: Path, mean: tuple[float, ...], std: tuple[float, ...], device: str
    ) -> None:
        self.device = device
        self.model = CLIPModel.from_pretrained(folder).eval().to(device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.size = self.model.config.vision_config.image_size
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1)

    @torch.inference_mode()
    def __call__(self, files: list[Path], texts: list[str], target: Path) -> None:
        """Encode, keep everything in memory, write it to `target` at the end."""
        of_texts = [self._texts(texts[lo : lo + BATCH]) for lo in range(0, len(texts), BATCH)]
        of_files = [self._pictures(files[lo : lo + BATCH]) for lo in range(0, len(files), BATCH)]
        whole, tokens, lengths = (np.concatenate(part) for part in zip(*of_texts, strict=True))
        pictures, patches = (np.concatenate(part) for part in zip(*of_files, strict=True))
        found = PlainFeatures(whole, tokens, lengths, pictures, patches)
        for name, values in vars(found).items():
            np.save(target / f"{name}.npy", values)

    def _texts(self, texts: list[str]) -> tuple[np.ndarray, ...]:
        batch = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        ids, mask = (batch[name].to(self.device) for name in ("input_ids", "attention_mask"))
        local = self.model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        lengths = mask.sum(1)
        pooled = local[torch.arange(len(texts), device=self.device), lengths - 1]
        return _arrays(self.model.text_projection(pooled), local, lengths)

    def _pictures(self, files: list[Path]) -> tuple[np.ndarray, ...]:
        pixels = torch.stack([self._pixels(file) for file in files]).to(self.device)
        vision = self.model.vision_model
        local = vision(pixel_values=pixels).last_hidden_state
        pooled = vision.post_layernorm(local[:, 0])
        return _arrays(self.model.visual_projection(pooled), local)

    def _pixels(self, file: Path) -> torch.Tensor:
        # By hand: the library's image processor asks for torchvision; these are its steps.
        with Image.open(file) as picture:
            square = picture.convert("RGB").resize((self.size,) * 2, Image.Resampling.LANCZOS)
        x = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
        return (x - self.mean) / self.std


def _arrays(*tensors: torch.Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.cpu().numpy() for tensor in tensors)
