"""`train.precision`: what a step's products are computed in, and what is written of it."""

import pytest
import torch

from stages import device
from stages.config import TrainConfig
from stages.heads import precision
from stages.runs.dataset import Dataset, RunSpec
from tests.support.small_runs import assert_equal_runs, short_run, small


@pytest.fixture
def cpu_multiplies(monkeypatch):
    def say(bfloat16: bool) -> None:
        monkeypatch.setattr(device, "_cpu_multiplies_bfloat16", lambda: bfloat16)

    return say


@pytest.mark.parametrize(("bfloat16", "found"), [(True, "bfloat16"), (False, "float32")])
@pytest.mark.parametrize("variant", ["melov", "clip"])
def test_auto_is_decided_for_the_device_and_stands_in_the_run(
    opened: Dataset, cpu_multiplies, variant, bfloat16, found
):
    cpu_multiplies(bfloat16)
    spec = RunSpec.of(variant, 0, small(precision="auto"))
    assert opened.settled(spec).train.precision == found


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_said_stays(opened: Dataset, cpu_multiplies, name):
    cpu_multiplies(name == "float32")
    spec = RunSpec.of("melov", 0, small(precision=name))
    assert opened.settled(spec).train.precision == name


def test_a_gpu_without_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert device.heads_precision("auto", torch.device("cuda")) == "float32"


def test_a_run_in_bfloat16_is_near_one_in_float32_and_like_itself(opened: Dataset, tmp_path):
    one, same, exact = (
        short_run(opened, tmp_path / place, precision=name)[0]
        for place, name in (("a", "bfloat16"), ("b", "bfloat16"), ("c", "float32"))
    )
    assert_equal_runs(one, same)
    assert one.history[0] == exact.history[0]  # the start is ranked in float32
    for ours, theirs in zip(one.history[1:], exact.history[1:], strict=True):
        assert ours["loss_e"] != theirs["loss_e"]
        assert ours["loss_e"] == pytest.approx(theirs["loss_e"], rel=0.02)
    # What a key's bias adds is the same for all of a softmax: its gradient is rounding alone.
    for name, weight in exact.state.items():
        if name.endswith("w_k.bias"):
            continue
        moved = (one.state[name] - weight).norm() / weight.norm().clamp_min(1e-3)
        assert moved < 0.1, (name, float(moved))


def test_validation_has_no_product_in_bfloat16(opened: Dataset, tmp_path, monkeypatch):
    asked = []
    real = precision.of_products

    def noted(weight):
        asked.append((not torch.is_inference_mode_enabled(), real(weight)))
        return real(weight)

    for module in ("precision", "projection", "units.attention"):
        monkeypatch.setattr(f"stages.heads.{module}.of_products", noted)
    short_run(opened, tmp_path, epochs=1, precision="bfloat16")
    assert {dtype for learns, dtype in asked if learns} == {torch.bfloat16}
    assert {dtype for learns, dtype in asked if not learns} == {torch.float32}


def test_float32_is_what_a_run_without_the_setting_was():
    assert TrainConfig().precision == "float32"
