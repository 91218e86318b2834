"""Trained heads on disk: `model.safetensors` and `config.json`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cache.errors import MelovError
from cache.files import atomic_path
from stages.heads.baselines.build import build_heads
from stages.heads.heads import Heads
from stages.heads.model import HeadsConfig


@dataclass(frozen=True)
class RunInfo:
    """What a run was made from; `provenance` holds the store's and the graph's digests."""

    dataset: str
    seed: int
    heads: HeadsConfig
    train: dict[str, Any]
    provenance: dict[str, str]

    @property
    def neighbor_limit(self) -> int:
        return int(self.train["neighbor_limit"])


def save_heads(folder: Path, state: dict[str, Tensor], info: RunInfo) -> None:
    """Both files; config.json last, so its presence means a complete run."""
    (folder / "config.json").unlink(missing_ok=True)  # an earlier run's, with other weights
    with atomic_path(folder / "model.safetensors") as path:
        save_file({name: w.detach().cpu().contiguous() for name, w in state.items()}, path)
    with atomic_path(folder / "config.json") as path:
        path.write_text(json.dumps(asdict(info), indent=1) + "\n")


def load_heads(folder: Path, device: torch.device, command: str) -> tuple[Heads, RunInfo]:
    """The heads in evaluation mode.

    Raises
    ------
    MelovError: no such run; `command` is the one that makes it.
    """
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MelovError(f"{folder}: no trained run", command) from None
    heads = said.pop("heads")
    info = RunInfo(heads=HeadsConfig(**{**heads, "units": tuple(heads["units"])}), **said)
    model = build_heads(info.heads)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.to(device).eval(), info


def run_identity(folder: Path) -> str:
    """Hash of a run's weights and configuration (hex, 128 bits)."""
    state = hashlib.blake2b(digest_size=16)
    for name in ("config.json", "model.safetensors"):
        state.update((folder / name).read_bytes())
    return state.hexdigest()
