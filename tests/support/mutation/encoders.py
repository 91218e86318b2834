"""An encoder's folder: configuration, tokenizer, preprocessing and weights; nothing seals them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from stages.config import ExtractConfig
from stages.encode.decode import Loaded
from stages.encode.encoders.families import find_checkpoints, open_encoder
from stages.encode.features import encode_pictures, encode_texts
from stages.encode.tokens import Tokenizer
from tests.support.mutation.damage import JSON_TOKENS, TEXT_TOKENS, damaged, damaged_json
from tests.support.mutation.outputs import MEBIBYTE, changed_tensors, content_of
from tests.support.mutation.trials import Change
from tests.support.small_project import build_bert, build_vit

TEXTS = ["the cat", "a dog, 42 years old!", "größe 北京", ""]


@dataclass(frozen=True)
class Encoders:
    """CLIP for both, or BERT with a ViT, as extraction and the linker open and use them."""

    name: str = "encoders"
    most_bytes: int = 600 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        shutil.copytree(world / "clip", folder / "clip")
        build_bert(folder / "bert", {"pooling_mode_mean_tokens": True})
        build_vit(folder / "vit")
        (folder / "use").write_text("clip")

    def change(self, random: Random, folder: Path) -> Change:
        kind = random.choice(("clip", "clip", "bert", "vit"))
        (folder / "use").write_text(kind)
        files = sorted(
            p.relative_to(folder).as_posix() for p in (folder / kind).rglob("*") if p.is_file()
        )
        name = random.choice(files)
        path = folder / name
        if path.suffix == ".safetensors":
            if random.random() < 0.5:
                return Change(
                    (name, "use"), f"{name}: {changed_tensors(random, path)}", sealed=False
                )
            data = path.read_bytes()
            # The header is a small part of the file, and the rest of it has no structure.
            head, what = damaged(random, data[:4096])
            path.write_bytes(head + data[4096:])
        elif path.suffix == ".json" and random.random() < 0.7:
            data, what = damaged_json(random, path.read_bytes())
            path.write_bytes(data)
        else:
            data, what = damaged(random, path.read_bytes(), (*JSON_TOKENS, *TEXT_TOKENS))
            path.write_bytes(data)
        return Change((name, "use"), f"{name}: {what}", sealed=False)

    def read(self, folder: Path) -> Any:
        is_clip = (folder / "use").read_text() == "clip"
        names = ("clip", "same") if is_clip else ("bert", "vit")
        config = ExtractConfig(
            text_encoder=names[0], image_encoder=names[1], max_tokens=20, device="cpu"
        )
        checkpoints = find_checkpoints(config, folder)
        identity = [checkpoints.text.identity()]
        if checkpoints.image is not None:
            identity.append(checkpoints.image.identity())
        tokenizer = Tokenizer(checkpoints.text, config.max_tokens)
        ids = tokenizer(TEXTS)
        encoder = open_encoder(checkpoints, config, torch.device("cpu"), torch.float32)
        pooled, tokens = encode_texts(encoder, ids, 4, tokenizer.pad)
        assert len(ids) == len(TEXTS)
        assert all(0 < len(row) <= 20 for row in ids)
        assert pooled.shape == (len(TEXTS), encoder.shapes.d_t)
        assert tokens.shape == (sum(map(len, ids)), encoder.shapes.d_local)
        assert encoder.pixels is not None
        side = encoder.pixels.size
        square = np.arange(3 * side * side, dtype=np.uint8).reshape(side, side, 3)
        found = encode_pictures(encoder, [Loaded(square), Loaded(None, "gone")], 2)
        assert found.reasons == [None, "gone"]
        assert found.local.shape == (2, encoder.shapes.n_p, encoder.shapes.d_patch)
        for values in (pooled, tokens, found.pooled, found.local):
            assert values.dtype == np.float16
            assert np.isfinite(values).all(), "features that are not finite"
        return [
            identity,
            content_of([pooled, tokens, found.pooled, found.local]),
            [row.tolist() for row in ids],
        ]


SUBJECTS = [Encoders()]
