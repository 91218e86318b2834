"""An encoder that cannot be used is told when it is opened, not after hours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.config import ExtractConfig
from stages.encode.encoders import families
from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.encoder import Pixels, Shapes
from stages.encode.encoders.families import Family, find_checkpoints, open_encoder
from stages.encode.encoders.vilt import ViltEncoder, open_vilt
from stages.encode.tokens import Tokenizer
from tests.stages.encode.encoders.conftest import Copy
from tests.support.tiny_vilt import build_vilt

CPU = torch.device("cpu")
PICTURE = "a picture of 8 pixels"


class Fine:
    """An encoder without a model; `change` spoils what it gives."""

    device = CPU
    shapes = Shapes(3, 4, 2, 5, 6)
    pixels = Pixels(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def __init__(self, texts: Any = None, pictures: Any = None) -> None:
        self.texts, self.pictures = texts or (lambda *x: x), pictures or (lambda *x: x)
        self.seen: list[tuple[int, ...]] = []

    def encode_texts(self, ids: Tensor, mask: Tensor) -> Any:
        self.seen.append(tuple(ids.shape))
        local = (ids * mask).float().unsqueeze(-1).expand(-1, -1, 4)
        return self.texts(local.sum(1)[:, :3], local)

    def encode_images(self, pixels: Tensor) -> Any:
        assert pixels.shape == (2, 3, 8, 8)
        means = pixels.mean((2, 3)) + pixels.amax((1, 2, 3))[:, None]
        return self.pictures(means[:, :2], means[:, None, :1].expand(-1, 6, 5))

    def projections(self) -> dict[str, np.ndarray]:
        return {}


@pytest.fixture
def open_fake(bert: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fine], Any]:
    def open_it(encoder: Fine) -> Any:
        family = Family("fake", lambda model_type: True, True, lambda *_: encoder)
        monkeypatch.setattr(families, "FAMILIES", [family])
        config = ExtractConfig(text_encoder=str(bert), max_tokens=30)
        return open_encoder(find_checkpoints(config), config, CPU, torch.float32)

    return open_it


def test_the_longest_text_is_encoded_beside_a_short_one(open_fake: Callable[[Fine], Any]):
    encoder = Fine()
    assert open_fake(encoder) is encoder
    assert encoder.seen == [(2, 30), (2, 30)]


def ended(*_: Any, **__: Any) -> Any:
    raise IndexError("index out of range in self\nand more")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda g, t: (torch.rand_like(g), t), "gives other features each time"),
        (lambda g, t: (g, t + torch.rand_like(t)), "gives other features each time"),
        (lambda g, t: (torch.zeros_like(g), t), "the global feature of any other"),
        (lambda g, t: (g * torch.nan, t), "features that are NaN or infinite"),
        (lambda g, t: (g, t / 0), "features that are NaN or infinite"),
        (lambda g, t: (g[:, :1], t), "gives features of shapes"),
        (lambda g, t: (g, t[:, 1:]), "gives features of shapes"),
        (ended, "cannot be encoded: IndexError: index out of range in self"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", ["texts", "pictures"])
def test_what_cannot_be_features_is_one_error(
    bert: Path, open_fake: Callable[[Fine], Any], spoil: Any, said: str, of: str
):
    with pytest.raises(CheckpointError) as caught:
        open_fake(Fine(**{of: spoil}))
    what = "a text of 30 tokens" if of == "texts" else PICTURE
    assert caught.value.message.startswith(f"{bert}: {what} ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_vit_that_fails_at_a_picture_is_one_error(
    bert: Path, vit: Path, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("transformers.ViTModel.forward", ended)
    with pytest.raises(CheckpointError, match="a picture of 24 pixels cannot be encoded: Index"):
        opened(bert, image_encoder=str(vit))


def test_a_vilt_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = find_checkpoint(str(build_vilt(tmp_path / "vilt")))
    tokenizer = Tokenizer(found, 40)
    open_vilt(found, tokenizer, CPU, torch.float32)
    monkeypatch.setattr(ViltEncoder, "encode_pairs", lambda *_: torch.rand(2, 24))
    with pytest.raises(CheckpointError, match="40 tokens with a picture gives other features"):
        open_vilt(found, tokenizer, CPU, torch.float32)


def test_a_model_whose_texts_see_no_other_token_is_refused(
    bert: Path, copy: Copy, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    """A decoder's [CLS] sees itself alone: every text would have one global feature."""
    from stages.encode.encoders import rules

    monkeypatch.setattr(rules, "CONFIG", {"model_type": rules.TEXT})
    folder = copy(bert, is_decoder=True)
    with pytest.raises(CheckpointError, match="gives the global feature of any other"):
        opened(folder, image_encoder="none", text_pooling="cls")
    opened(folder, image_encoder="none", text_pooling="mean")
