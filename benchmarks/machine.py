"""What the timings were taken on, and how fast it can go: GEMM rate and memory bandwidth."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions, and the measured peaks."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "gemm_float32_gflops": round(gemm_rate(torch.float32) / 1e9),
        "gemm_bfloat16_gflops": round(gemm_rate(torch.bfloat16) / 1e9),
        "copy_gb_per_second": round(copy_rate() / 1e9, 1),
    }


def gemm_rate(dtype: torch.dtype, n: int = 2048) -> float:
    """Floating-point operations a second of a square product; the best of five."""
    a, b = torch.ones(n, n, dtype=dtype), torch.ones(n, n, dtype=dtype)
    return 2 * n**3 / _best(lambda: a @ b)


def copy_rate(size: int = 1 << 28) -> float:
    """Bytes copied a second, by all threads; the best of five."""
    source = torch.ones(size // 4)
    target = torch.empty_like(source)
    return size / _best(lambda: target.copy_(source))


def _best(run: Callable[[], Any], times: int = 5) -> float:
    run()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        found.append(time.perf_counter() - begun)
    return min(found)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.machine()
    lines = info.read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")
    flags = next((x.split() for x in lines if x.startswith("flags")), [])
    extra = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{name} ({', '.join(extra)})"
