import pytest
import torch

from cache.errors import MelovError
from stages.device import heads_device, resolve_device


@pytest.fixture
def apple(monkeypatch):
    """A machine with MPS and without CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)


def test_encoders_take_mps_and_heads_the_cpu(apple):
    assert resolve_device("auto").type == "mps"
    assert heads_device("auto").type == "cpu"


def test_heads_on_mps_are_refused_with_the_way_out(apple):
    with pytest.raises(MelovError, match="no float64") as caught:
        heads_device("mps")
    assert "device: auto" in str(caught.value)
    assert heads_device("cpu").type == "cpu"


def test_cuda_comes_first_for_both(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == heads_device("auto").type == "cuda"


@pytest.mark.parametrize(
    "name", ["hpu", "meta", "meta:0", "foo:1", "", "lazy", "vulkan", "xla", "cuda:99", "cpu:7x"]
)
def test_a_device_that_is_not_here_is_a_clear_error(name):
    for resolve in (heads_device, resolve_device):
        with pytest.raises(MelovError, match=f"device '{name}' cannot be used"):
            resolve(name)
