"""The device and the precision that a step runs on."""

import functools
from pathlib import Path

import torch

from cache.errors import MelovError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def resolve_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU.

    Raises:
        MelovError: the device asked for is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":  # it has shapes and no numbers
            raise RuntimeError("it computes nothing")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        first = str(error).splitlines()[0]
        raise MelovError(
            f"device '{name}' cannot be used: {first}", "use device: auto, cpu, cuda or mps"
        ) from None
    return device


def heads_device(name: str) -> torch.device:
    """Where heads train and rank: `auto` takes CUDA, then the CPU.

    MPS has neither float64, in which exact ranks are counted, nor the GCN's sparse matrices.

    Raises:
        MelovError: the device asked for is not available, or is MPS.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = resolve_device(name)
    if device.type == "mps":
        raise MelovError(
            f"device '{name}' has no float64 and no sparse matrices, and the heads need both",
            "use device: auto or cpu for train and evaluate; extract can use mps",
        )
    return device


def resolve_dtype(name: str, device: torch.device) -> str:
    """`auto` takes bfloat16 where the hardware multiplies it, float16 on other GPUs.

    A CPU without bfloat16 instructions would emulate it, several times slower than float32.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type == "mps":
        return "float16"
    return "bfloat16" if _cpu_multiplies_bfloat16() else "float32"


def heads_precision(name: str, device: torch.device) -> str:
    """Of the products of a training step: `auto` takes bfloat16 where the hardware multiplies it.

    No float16: gradients leave its range.
    """
    if name != "auto":
        return name
    return "bfloat16" if resolve_dtype(name, device) == "bfloat16" else "float32"


@functools.cache
def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: float32 is right everywhere
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
