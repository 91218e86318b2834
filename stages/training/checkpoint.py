"""The state of a training run after each epoch, so that a kill costs one epoch at most."""

import hashlib
import io
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cache.errors import reason
from cache.files import atomic_path
from stages.config import TrainConfig
from stages.heads.settings import HeadsConfig

log = logging.getLogger(__name__)

CHECKSUM_BYTES = 16


@dataclass
class State:
    """Everything that the next epoch depends on."""

    epoch: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    rng: Tensor
    best_mrr: float = -1.0
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    cuda_rng: Tensor | None = None
    rng_of_others: list[tuple[Tensor, Tensor | None]] = field(default_factory=list)
    """Of the processes that train with this one: theirs on the host and on CUDA."""

    def check(self) -> None:
        """Raises ValueError where a field is not what `train` keeps in it."""
        numbers = [self.epoch, self.best_epoch, *(row["epoch"] for row in self.history)]
        if not all(type(number) is int for number in numbers) or self.epoch < 0:
            raise ValueError("epochs that are no numbers")
        if [row["epoch"] for row in self.history] != list(range(self.epoch + 1)):
            raise ValueError("a history of other epochs")
        values = [self.best_mrr, *(value for row in self.history for value in row.values())]
        if not all(math.isfinite(value) for value in values):
            raise ValueError("numbers that are not finite")
        if self.best.keys() != self.model.keys() or not 0 <= self.best_epoch <= self.epoch:
            raise ValueError("weights of another model")
        for name, weight in self.best.items():
            if weight.shape != self.model[name].shape or not torch.isfinite(weight).all():
                raise ValueError(f"{name}: not the best epoch's weights")


def run_digest(
    heads: HeadsConfig, config: TrainConfig, seed: int, provenance: dict[str, str]
) -> str:
    """Names a run's working folder after all that decides its course."""
    made_from = {"heads": heads.model_dump(), "train": config.model_dump(), "seed": seed}
    text = json.dumps({**made_from, "made_from": provenance}, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def save_state(folder: Path, state: State) -> None:
    """Write `state.pt`: a checksum, then PyTorch's file, which has none that it would check."""
    content = io.BytesIO()
    torch.save(vars(state), content)
    data = content.getvalue()
    with atomic_path(folder / "state.pt") as path:
        path.write_bytes(_checksum(data) + data)


def load_state(folder: Path) -> State | None:
    """The last finished epoch's state, or None where there is none that can be read."""
    path = folder / "state.pt"
    if not path.exists():
        return None
    content = path.read_bytes()
    checksum, data = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if _checksum(data) != checksum:
        log.warning("%s: damaged; training starts over", path)
        return None
    try:
        state = State(**torch.load(io.BytesIO(data), weights_only=True, map_location="cpu"))
        state.check()
    except Exception as error:  # of another version: torch raises nothing narrower
        log.warning("%s: of another version (%s); training starts over", path, reason(error))
        return None
    return state


def forget_state(folder: Path) -> None:
    """Remove what `load_state` would read."""
    (folder / "state.pt").unlink(missing_ok=True)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM_BYTES).digest()
