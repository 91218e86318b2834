"""CLIP's forward passes without anything around them: what bounds an extraction."""

from __future__ import annotations

from typing import Any

import numpy as np

from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.device import DTYPES, resolve_device
from stages.encode.decode import decode, normalised
from stages.encode.encoders.clip import ClipEncoder
from stages.encode.encoders.encoder import pad_ids
from stages.encode.encoders.families import find_checkpoints
from stages.encode.plan import plan_texts, texts_of
from stages.encode.tokens import Tokenizer
from stages.paths import DatasetPaths

HELD_BATCHES = 4
"""Of pixels that it goes through again and again: all of them are gigabytes."""


class ModelAlone:
    """The forward passes of an extraction, its own batches, decoded and tokenised beforehand."""

    def __init__(self, paths: DatasetPaths, config: ExtractConfig, store: FeatureStore) -> None:
        checkpoints = find_checkpoints(config)
        self.dtype = store.fingerprint.fields["dtype"]
        self.encoder_dtype = DTYPES[self.dtype]
        device = resolve_device(config.device)
        self.encoder = ClipEncoder(checkpoints, config, device, self.encoder_dtype)
        records = Records.load(paths.records)
        tokenizer = Tokenizer(checkpoints.text, config.max_tokens)
        plan = plan_texts(texts_of(records), tokenizer, config.max_tokens)
        self.texts = [
            pad_ids(plan.ids[lo : lo + config.batch_texts], tokenizer.pad, device)
            for lo in range(0, len(plan.ids), config.batch_texts)
        ]
        assert self.encoder.pixels is not None
        files = [paths.raw / path for path in records.pictures["path"].to_pylist()]
        self.pictures, batch = len(files), config.batch_images
        self.pixels = []
        for lo in range(0, min(len(files), HELD_BATCHES * batch), batch):
            squares = [
                decode(file.read_bytes(), self.encoder.pixels.size, config.resize)
                for file in files[lo : lo + batch]
            ]
            self.pixels.append(normalised(np.stack(squares), self.encoder.pixels, device))

    def __call__(self) -> None:
        for ids, mask in self.texts:
            self.encoder.encode_texts(ids, mask)
        done, batch = 0, len(self.pixels[0])
        while done < self.pictures:
            pixels = self.pixels[(done // batch) % len(self.pixels)]
            part = pixels[: self.pictures - done]
            self.encoder.encode_images(part)
            done += len(part)

    @property
    def flops(self) -> float:
        """Of the layers' products and the attention's, padding included."""
        text = self.encoder.model.config.text_config
        vision = self.encoder.model.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        embedding = 2 * 3 * vision.patch_size**2 * vision.hidden_size * patches
        of_texts = sum(len(ids) * layers_flops(text, ids.shape[1]) for ids, _ in self.texts)
        return float(of_texts + self.pictures * (layers_flops(vision, patches + 1) + embedding))


def layers_flops(config: Any, n: int) -> int:
    """One sequence of n tokens through a transformer."""
    d, inner = config.hidden_size, config.intermediate_size
    products = 2 * n * (4 * d * d + 2 * d * inner)
    attention = 2 * 2 * n * n * d
    return int(config.num_hidden_layers * (products + attention))
