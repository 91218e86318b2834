from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from stages.encode.encoders.quick_gelu import fold_quick_gelu


def folded(model, dtype=torch.float32):
    changed = deepcopy(model)
    fold_quick_gelu(changed, dtype)
    return changed.to(dtype)


def states(model, x):
    return model.vision_model(pixel_values=x).last_hidden_state


@torch.inference_mode()
def test_an_mlp_whose_activation_is_folded_gives_what_the_formula_gives(clip: Path):
    model = CLIPModel.from_pretrained(clip).eval()
    for tower in ("text_model", "vision_model"):
        plain = getattr(model, tower).encoder.layers[0].mlp.double()
        ours = getattr(folded(model), tower).encoder.layers[0].mlp
        x = torch.randn(5, plain.fc1.in_features) * 3
        h = plain.fc1(x.double())
        torch.testing.assert_close(
            ours(x).double(), plain.fc2(h * torch.sigmoid(1.702 * h)), atol=1e-5, rtol=1e-5
        )


@torch.inference_mode()
def test_a_model_with_another_activation_is_left_as_it_is(clip: Path):
    model = CLIPModel.from_pretrained(clip).eval()
    for tower in (model.text_model, model.vision_model):
        tower.config.hidden_act = "gelu"
        for layer in tower.encoder.layers:
            layer.mlp.activation_fn = torch.nn.GELU()
    x = torch.randn(2, 3, 32, 32)
    assert states(folded(model), x).equal(states(model, x))


@torch.inference_mode()
@pytest.mark.parametrize("kept_as", [torch.float32, torch.float16])
def test_rounded_to_bfloat16_it_is_no_further_from_float32_than_the_plain_form(clip, kept_as):
    model = CLIPModel.from_pretrained(clip).to(kept_as).eval()
    exact = deepcopy(model).float()
    x = torch.randn(16, 3, 32, 32)
    want = states(exact, x)

    def error(of):
        found = states(of.bfloat16(), x.bfloat16()).float()
        return float((found - want).norm() / want.norm())

    assert error(folded(model, torch.bfloat16)) < 1.2 * error(deepcopy(model)) < 0.1
