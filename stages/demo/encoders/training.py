"""How the demo's small encoders are trained: batches of pairs, their disturbances, the loss."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stages.config import DemoEncoderConfig
from stages.demo.encoders.pairs import DemoPairs

_SHIFT = 4  # pixels: pictures are moved by at most so much in training
_WARM_UP = 0.05  # of the steps
_WEIGHT_DECAY = 0.1
_MAX_LOGIT_SCALE = math.log(100.0)  # as in CLIP

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A small encoder and what is known of its training.

    Parameters
    ----------
    model, tokenizer: in evaluation mode, on the CPU.
    losses: mean contrastive loss of each epoch.
    retrieval: share of held-out captions that find their own among the held-out ones.
    held_out: how many of them there are.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    losses: tuple[float, ...]
    retrieval: float
    held_out: int

    def save(self, folder: Path, preprocessor: dict[str, Any]) -> None:
        """Weights, configuration, tokenizer and preprocessing, for `from_pretrained(folder)`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        # By hand: the library's own classes ask for torchvision, which nothing here needs.
        text = json.dumps(preprocessor, indent=2) + "\n"
        (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def log_pairs(pairs: DemoPairs, tokenizer: PreTrainedTokenizerBase) -> None:
    logger.info(
        "%d captions, %d training mentions with a picture (%d without), %d tokens",
        len(pairs.captions),
        len(pairs.mentions),
        pairs.skipped,
        len(tokenizer),
    )


def share_found(queries: Tensor, own: Tensor, top: int) -> float:
    """Share of rows of `queries` whose own row is among the `top` nearest of `own`, 0..1.

    Shapes
    ------
    queries, own: (n, d)
    """
    nearest = (queries @ own.T).topk(top).indices  # (n, top)
    return float(nearest.eq(torch.arange(len(own))[:, None]).any(1).float().mean())


def fit(
    weights: Iterable[nn.Parameter],
    logit_scale: nn.Parameter,
    sizes: Sequence[int],
    config: DemoEncoderConfig,
    random: np.random.Generator,
    loss_of: Callable[[int, np.ndarray], Tensor],
    title: str,
) -> list[float]:
    """Train on batches of one source each, all in random order; each epoch's mean loss.

    Parameters
    ----------
    weights: what is trained, `logit_scale` among them.
    sizes: pairs of each source.
    loss_of: the loss of a source (its place in `sizes`) and rows of it.
    title: of the progress bar.
    """
    weights = list(weights)

    def order() -> list[tuple[int, np.ndarray]]:
        return [
            (source, rows)
            for source, size in enumerate(sizes)
            for rows in _batches(size, config.batch_size, random)
        ]

    steps = config.epochs * len(order())
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))
    losses = []
    with tqdm(total=steps, desc=title, unit="step") as bar:
        for _ in range(config.epochs):
            batches = order()
            random.shuffle(batches)
            total = 0.0
            for source, rows in batches:
                loss = loss_of(source, rows)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
                total += loss.item()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            losses.append(total / len(batches))
    return losses


def info_nce(first: Tensor, second: Tensor, logit_scale: Tensor) -> Tensor:
    """first, second (n, d), unit length, row i of one belonging to row i of the other -> scalar."""
    logits = logit_scale.exp() * first @ second.T  # (n, n)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def thinned(ids: Tensor, random: np.random.Generator) -> Tensor:
    """A text (n_t,) with each inner token kept at a chance of two thirds; both ends stay."""
    keep = random.random(len(ids)) < 2 / 3
    keep[[0, -1]] = True
    return ids[torch.from_numpy(keep)]


def shifted(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each picture moved by up to `_SHIFT` pixels, its edge repeated; half of them mirrored."""
    size = pictures.shape[1]
    wide = np.pad(pictures, ((0, 0), (_SHIFT,) * 2, (_SHIFT,) * 2, (0, 0)), mode="edge")
    moved = np.empty_like(pictures)
    places = random.integers(0, 2 * _SHIFT + 1, (len(pictures), 2))
    for i, (top, left) in enumerate(places):
        view = wide[i, top : top + size, left : left + size]
        moved[i] = view[:, ::-1] if random.random() < 0.5 else view
    return moved


def _rate(progress: float) -> float:
    """Share of the learning rate: a short rise, then half a cosine."""
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def _batches(rows: int, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """All rows in random order, cut into batches of about `size`, no two of unlike size."""
    return np.array_split(random.permutation(rows), max(1, round(rows / size)))
