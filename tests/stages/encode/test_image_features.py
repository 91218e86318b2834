from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPVisionModel, ViTModel

from cache.errors import MelovError
from stages.encode.decode import Loaded, normalised
from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.encoder import Encoder, Pixels, pixels_of
from stages.encode.features import encode_pictures
from tests.support.small_project import NORMALISATION, random_picture

Open = Callable[..., Encoder]
CPU = torch.device("cpu")


def squares(n: int, size: int) -> np.ndarray:
    return np.stack([np.asarray(random_picture(i, size, size)) for i in range(n)])


def all_close(ours: torch.Tensor, reference: torch.Tensor) -> None:
    torch.testing.assert_close(ours, reference, atol=2e-6, rtol=1e-5)


@torch.inference_mode()
def test_a_clip_picture_is_the_projection_of_its_normed_cls_state(clip: Path, opened: Open):
    model = CLIPModel.from_pretrained(clip).eval()
    x = torch.randn(3, 3, 32, 32)
    pooled, local = opened(clip).encode_images(x)
    for i in range(3):
        states = model.vision_model(pixel_values=x[i : i + 1]).last_hidden_state
        cls = model.vision_model.post_layernorm(states[:, 0])
        all_close(local[i], states[0])
        all_close(pooled[i], (cls @ model.visual_projection.weight.T)[0])
        features = model.get_image_features(pixel_values=x[i : i + 1])
        features = features if isinstance(features, torch.Tensor) else features.pooler_output
        all_close(pooled[i], features[0])


def test_clips_stored_projections_turn_local_states_into_global_ones(clip: Path, opened: Open):
    encoder = opened(clip)
    kept = {name: torch.from_numpy(w) for name, w in encoder.projections().items()}
    pooled, local = encoder.encode_images(torch.randn(2, 3, 32, 32))
    cls = torch.nn.functional.layer_norm(
        local[:, 0], (48,), kept["image_norm_weight"], kept["image_norm_bias"]
    )
    all_close(pooled, cls @ kept["image"].T)
    ids = torch.tensor([[1, 2, 3]])
    pooled, local = encoder.encode_texts(ids, torch.ones_like(ids))
    all_close(pooled, local[:, -1] @ kept["text"].T)


@torch.inference_mode()
def test_a_vit_picture_is_its_cls_state_after_the_last_layer_norm(
    bert: Path, vit: Path, opened: Open
):
    model = ViTModel.from_pretrained(vit).eval()
    x = torch.randn(2, 3, 24, 24)
    encoder = opened(bert, image_encoder=str(vit))
    pooled, local = encoder.encode_images(x)
    states = model(pixel_values=x).last_hidden_state
    all_close(local, states)
    all_close(pooled, states[:, 0])
    assert (encoder.shapes.d_t, encoder.shapes.d_image, encoder.shapes.n_p) == (28, 40, 10)


@torch.inference_mode()
def test_clips_vision_tower_serves_a_bert_as_a_vit(bert: Path, clip: Path, opened: Open):
    model = CLIPVisionModel.from_pretrained(clip).eval()
    x = torch.randn(2, 3, 32, 32)
    _, local = opened(bert, image_encoder=str(clip)).encode_images(x)
    all_close(local, model(pixel_values=x).last_hidden_state)


def test_a_model_that_is_no_vit_is_refused_as_image_encoder(bert: Path, opened: Open):
    with pytest.raises(CheckpointError, match="type bert are not supported as image"):
        opened(bert, image_encoder=str(bert))


def test_pixels_are_normalised_as_the_preprocessor_says(clip: Path):
    pixels = pixels_of(find_checkpoint(str(clip)), 32)
    picture = squares(2, 32)
    mean, std = NORMALISATION["image_mean"], NORMALISATION["image_std"]
    expected = (picture / 255 - np.array(mean)) / np.array(std)
    ours = normalised(picture, pixels, CPU).numpy()
    np.testing.assert_allclose(ours, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert pixels == Pixels(32, tuple(mean), tuple(std))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_on_a_cpu_stays_close_to_float32(clip: Path, opened: Open, dtype: str):
    x = normalised(squares(4, 32), pixels_of(find_checkpoint(str(clip)), 32), CPU)
    exact, _ = opened(clip).encode_images(x)
    half, _ = opened(clip, dtype).encode_images(x)
    assert torch.cosine_similarity(exact, half.float()).min() >= 0.999


def test_failed_pictures_keep_their_rows_and_move_no_other(clip: Path, opened: Open):
    encoder, good = opened(clip), squares(7, 32)
    loaded = [
        Loaded(None, f"reason {i}") if i in (0, 2, 3, 6) else Loaded(good[i]) for i in range(7)
    ]
    found = encode_pictures(encoder, loaded, batch=2)
    whole, patches = found.pooled, found.local
    assert found.reasons == [
        "reason 0", None, "reason 2", "reason 3", None, None, "reason 6",
    ]  # fmt: skip
    assert encoder.pixels is not None
    for i in range(7):
        if found.reasons[i]:
            assert not whole[i].any()
            assert not patches[i].any()
            continue
        pooled, local = encoder.encode_images(normalised(good[i : i + 1], encoder.pixels, CPU))
        np.testing.assert_allclose(whole[i], pooled[0].numpy(), atol=2e-3)
        np.testing.assert_allclose(patches[i], local[0].numpy(), atol=4e-3)


def test_an_overflow_in_float16_is_told(clip: Path, opened: Open, monkeypatch: pytest.MonkeyPatch):
    encoder = opened(clip)
    real = encoder.encode_images

    def overflowing(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, local = real(pixels)
        local = local.clone()
        local[1, 5, 0] = torch.inf
        return pooled, local

    monkeypatch.setattr(encoder, "encode_images", overflowing)
    loaded = [Loaded(picture) for picture in squares(3, 32)]
    with pytest.raises(MelovError, match="features of a picture are not finite") as found:
        encode_pictures(encoder, loaded, batch=8)
    assert "extract.dtype=float32" in str(found.value)
