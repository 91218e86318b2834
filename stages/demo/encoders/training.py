"""How the demo's small encoders are trained, checked and saved: a recipe each, the rest shared."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cache.files import replacing_folder
from stages.config import DemoEncoderConfig
from stages.demo.encoders.pairs import Pairs, read_pairs

IMAGE_SIZE, PATCH_SIZE = 64, 16  # 16 patches
WIDTH, HEADS = 128, 4  # of every layer of both encoders
MAX_TOKENS = 40  # what extraction reads of a text
_PART = 64  # pairs encoded at once when the trained encoder is checked
_SHIFT = 4  # pixels by which pictures are moved at most
_WARM_UP = 0.05  # of the steps
_WEIGHT_DECAY = 0.1
_MAX_LOGIT_SCALE = math.log(100.0)  # as in CLIP

logger = logging.getLogger(__name__)

Side = Callable[[Any, list[np.ndarray], np.ndarray], Tensor]
"""Of model, n texts' ids and n pictures: unit vectors (n, d)."""


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Args:
        weights: everything that is trained, `logit_scale` among them.
        loss_of: the loss of a source (its place among the sources) and rows of it.
    """

    weights: Sequence[nn.Parameter]
    logit_scale: nn.Parameter
    loss_of: Callable[[int, np.ndarray], Tensor]


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one small encoder from another.

    Args:
        tokenizer: trained on the given texts.
        model: untrained, with torch's random state as it is.
        objective: of model, tokenizer, sources and the generator of all that training draws.
        query, own: what is retrieved with, and what it should find (`retrieval_accuracy`).
        finds: the latter in a word.
        preprocessor: content of preprocessor_config.json.
    """

    title: str
    tokenizer: Callable[[list[str]], PreTrainedTokenizerBase]
    model: Callable[[PreTrainedTokenizerBase], PreTrainedModel]
    objective: Callable[
        [PreTrainedModel, PreTrainedTokenizerBase, Sequence[Pairs], np.random.Generator], Objective
    ]
    query: Side
    own: Side
    finds: str
    preprocessor: dict[str, Any]

    @torch.inference_mode()
    def retrieval_accuracy(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Pairs, top: int = 1
    ) -> float:
        """Share of queries whose own pair is among the `top` nearest of all in `pairs`, 0 to 1."""
        ids = token_ids(pairs.texts, tokenizer)
        parts = [slice(start, start + _PART) for start in range(0, len(pairs), _PART)]
        queries, own = (
            torch.cat([side(model, ids[part], pairs.pictures[part]) for part in parts])  # (n, d)
            for side in (self.query, self.own)
        )
        nearest = (queries @ own.T).topk(top).indices  # (n, top)
        return float(nearest.eq(torch.arange(len(pairs))[:, None]).any(1).float().mean())


@dataclass(frozen=True)
class Trained:
    """A small encoder and what is known of its training.

    Args:
        model, tokenizer: in evaluation mode, on the CPU.
        losses: mean contrastive loss of each epoch.
        retrieval: share of the `held_out` captions that find their own pair among all of them.
    """

    recipe: Recipe
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    losses: tuple[float, ...]
    retrieval: float
    held_out: int

    def save(self, folder: Path) -> None:
        """Replace `folder`: weights, configuration, tokenizer and preprocessing, all that
        `from_pretrained(folder)` reads."""
        with replacing_folder(folder) as fresh:
            self.model.save_pretrained(fresh)
            self.tokenizer.save_pretrained(fresh)
            # By hand: the library's own classes ask for torchvision, which nothing here needs.
            text = json.dumps(self.recipe.preprocessor, indent=2) + "\n"
            (fresh / "preprocessor_config.json").write_text(text, encoding="utf-8")

    def as_text(self) -> str:
        """The fall of the loss and the retrieval, on one line."""
        return (
            f"loss {self.losses[0]:.2f} -> {self.losses[-1]:.2f}; {self.retrieval:.1%} of "
            f"{self.held_out} held-out captions find their own {self.recipe.finds}"
        )


def train(recipe: Recipe, raw: Path, config: DemoEncoderConfig) -> Trained:
    """Train on the demo's raw folder; the same files, seed and thread count give the same weights.

    Raises:
        MelovError: the raw files are missing.
    """
    pairs = read_pairs(raw, IMAGE_SIZE)
    tokenizer = recipe.tokenizer(pairs.vocabulary_texts)
    logger.info(
        "%d captions, %d training mentions with a picture (%d without), %d tokens",
        len(pairs.captions), len(pairs.mentions), pairs.skipped, len(tokenizer),
    )  # fmt: skip
    sources = [pairs.captions, pairs.mentions]
    random = np.random.default_rng(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = recipe.model(tokenizer)
        objective = recipe.objective(model, tokenizer, sources, random)
        model.train()
        losses = _fit(objective, [len(source) for source in sources], config, random, recipe.title)
        model.eval()
        retrieval = recipe.retrieval_accuracy(model, tokenizer, pairs.held_out)
    return Trained(recipe, model, tokenizer, tuple(losses), retrieval, len(pairs.held_out))


def _fit(
    objective: Objective,
    sizes: Sequence[int],
    config: DemoEncoderConfig,
    random: np.random.Generator,
    title: str,
) -> list[float]:
    """Train on batches of one source each, all in random order; returns each epoch's mean loss."""

    def order() -> list[tuple[int, np.ndarray]]:
        return [
            (source, rows)
            for source, size in enumerate(sizes)
            for rows in _batches(size, config.batch_size, random)
        ]

    steps = config.epochs * len(order())
    optimizer = torch.optim.AdamW(
        objective.weights, config.learning_rate, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))
    losses = []
    with tqdm(total=steps, desc=title, unit="step") as bar:
        for _ in range(config.epochs):
            batches = order()
            random.shuffle(batches)
            total = 0.0
            for source, rows in batches:
                loss = objective.loss_of(source, rows)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(objective.weights, 1.0)
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    objective.logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
                total += loss.item()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            losses.append(total / len(batches))
    return losses


def token_ids(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[np.ndarray]:
    """int64 (n_t,) of each text, cut to MAX_TOKENS, the tokens at both ends included."""
    rows = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return [np.array(row, np.int64) for row in rows]


def info_nce(first: Tensor, second: Tensor, logit_scale: Tensor) -> Tensor:
    """first, second (n, d), unit length, row i of one belonging to row i of the other -> scalar."""
    logits = logit_scale.exp() * first @ second.T  # (n, n)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def thinned(ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A text (n_t,) that keeps each inner token with probability 2/3, and both ends."""
    keep = random.random(len(ids)) < 2 / 3
    keep[[0, -1]] = True
    return ids[keep]


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
    """All rows in random order, in batches of about `size` that differ by one row at most."""
    return np.array_split(random.permutation(rows), max(1, round(rows / size)))
