"""Training of the heads over cached features (section 4.2): AdamW, in-batch contrast, early stop
on validation MRR over the whole knowledge base, the best epoch kept. Epoch 0, the heads as they
start, is one of them, so that no run ends below its start."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cache.errors import MelovError, reason
from stages.allocator import keep_freed_memory
from stages.config import EvaluateConfig, TrainConfig
from stages.features.data import LinkingData
from stages.heads.heads import Heads
from stages.heads.settings import HeadsConfig
from stages.ranking.metrics import deciding, validated
from stages.ranking.rank import rank_gold
from stages.training.checkpoint import State, forget_state, load_state, run_digest, save_state
from stages.training.group import ALONE, Group
from stages.training.negatives import nearest_wrong
from stages.training.prefetch import prefetch
from stages.training.start import MENTIONS as START_MENTIONS
from stages.training.start import fit_start, scales_of
from stages.training.step import Batch, Losses, load_batch, train_step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """The best epoch's weights, the course of training, and how long each epoch took.

    history: a row an epoch from 0, the start, which has no loss; none where nothing is trained.
    """

    state: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int
    seconds: list[float]


def train(
    data: LinkingData, heads: HeadsConfig, config: TrainConfig, evaluate: EvaluateConfig,
    seed: int, work: Path, on_epoch: Callable[[dict[str, float]], None] | None = None,
    group: Group = ALONE,
) -> Trained:  # fmt: skip
    """Train one run, resuming from `work` where an earlier attempt with equal inputs was killed.

    Deterministic on one machine: the same seed gives the same weights, killed or not. A model
    without parameters has no epoch. Under CUDA a resumed run may differ in last bits.

    Args:
        group: the processes that train it together, of which the first one writes to `work`.

    Raises:
        MelovError: no validation mention, or a loss that is not finite.
    """
    together = f"-of-{group.size}" if group.size > 1 else ""
    folder = work / f"{run_digest(heads, config, seed, data.provenance)}{together}"
    device = data.cached.device
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(seed)
    model = heads.entry.build(heads).to(device)
    if not list(model.parameters()):
        return Trained(model.state_dict(), [], 0, [])
    optimizer = _optimizer(model, config)
    valid_rows = validation_rows(data.gold, config)
    state = group.of_first(load_state(folder) if group.is_first else None)
    if state is None:
        if config.fit_start:
            fit_start(model, data, sample(len(data.gold["train"]), START_MENTIONS), evaluate)
            model.load_state_dict(group.of_first(_on_the_host(model)))
        state = State(0, model.state_dict(), optimizer.state_dict(), torch.get_rng_state())
        start = {} if model.tau is None else {"tau": float(model.tau.detach())}
        _note(state, model, start | _validate(model, data, valid_rows, evaluate, group), on_epoch)
    else:
        try:
            model.load_state_dict(state.model)
            optimizer.load_state_dict(state.optimizer)
            states = [(state.rng, state.cuda_rng), *state.rng_of_others]
            _set_random(*states[group.rank], device)
        except Exception as error:  # of another version: torch raises nothing narrower
            log.warning("%s: does not fit (%s); training starts over", folder, reason(error))
            forget_state(folder)
            return train(data, heads, config, evaluate, seed, work, on_epoch, group)
        log.info("resuming after epoch %d", state.epoch)

    near = (
        nearest_wrong(data.cached, data.views, data.gold["train"], data.store)
        if config.hard_negatives
        else None
    )
    seconds = []
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        begun = time.perf_counter()
        row = _train_epoch(model, optimizer, data, config, near, seed, state.epoch, group)
        row |= _validate(model, data, valid_rows, evaluate, group)
        state.epoch += 1
        _note(state, model, row)
        state.model, state.optimizer = model.state_dict(), optimizer.state_dict()
        (state.rng, state.cuda_rng), *state.rng_of_others = group.gathered(_random(device))
        if group.is_first:
            save_state(folder, state)
        seconds.append(time.perf_counter() - begun)
        if on_epoch is not None:
            on_epoch(state.history[-1])
    return Trained(state.best, state.history, state.best_epoch, seconds)


def _on_the_host(model: Heads[Any, Any]) -> dict[str, Tensor]:
    return {name: weight.cpu() for name, weight in model.state_dict().items()}


def _random(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Where this process's random numbers stand, on the host and on CUDA."""
    on_cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_cuda


def _set_random(on_host: Tensor, on_cuda: Tensor | None, device: torch.device) -> None:
    torch.set_rng_state(on_host)
    if on_cuda is not None and device.type == "cuda":
        torch.cuda.set_rng_state(on_cuda, device)


def _optimizer(model: Heads[Any, Any], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; what a fitted start weighs its similarities by does not decay."""
    scales = scales_of(model) if config.fit_start else {}
    kept = [scale.parameter for scale in scales.values()]
    others = [p for p in model.parameters() if all(p is not own for own in kept)]
    groups: list[dict[str, Any]] = [{"params": others}]
    if kept:
        groups.append({"params": kept, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _note(
    state: State, model: Heads[Any, Any], row: dict[str, float],
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> None:  # fmt: skip
    """Put an epoch's row into the history, and keep the weights where it is the best so far."""
    state.history.append({"epoch": state.epoch, **row})
    decides = row[f"valid_{deciding().key}"]
    if decides > state.best_mrr:
        state.best_mrr, state.best_epoch = decides, state.epoch
        state.best = {name: w.detach().clone() for name, w in model.state_dict().items()}
    if on_epoch is not None:
        on_epoch(state.history[-1])


def _train_epoch(
    model: Heads[Any, Any], optimizer: torch.optim.Optimizer, data: LinkingData,
    config: TrainConfig, near: np.ndarray | None, seed: int, epoch: int, group: Group,
) -> dict[str, float]:  # fmt: skip
    model.train()
    # Entities that look the same to the heads stand for each other: one column, no false negative.
    gold = data.views.rows[data.views.of_entity[data.gold["train"]]]
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(gold))
    if config.per_entity:
        order = first_of_each(order, gold[order], config.per_entity)
    hard = _drawn(near, config.hard_negatives, rng)
    steps = [order[i : i + config.batch_size] for i in range(0, len(order), config.batch_size)]

    def load(rows: np.ndarray) -> Batch:
        wrong = None if hard is None else hard[rows]
        return load_batch(data.inputs, rows, gold[rows], wrong, group)

    losses = Losses(f"epoch {epoch + 1}")
    # One mention alone has no negative to learn from, and each process wants one.
    steps = [rows for rows in steps if len(rows) >= max(2, group.size)]
    for i, batch in enumerate(prefetch(load, iter(steps), data.cached.device)):
        _set_learning_rate(optimizer, config, epoch + i / len(steps))
        losses.add(train_step(model, optimizer, batch, config, group), batch.whole / len(order))
    sums = {"loss": 0.0, "loss_e": 0.0, "loss_g": 0.0} | losses.read()
    if model.tau is not None:
        sums["tau"] = float(model.tau.detach())
    return sums


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainConfig, epochs: float
) -> None:
    """The rate after so many (fractional) epochs; a function of them alone, so a resumed run's is
    the straight run's."""
    left = 1 - epochs / config.epochs if config.schedule == "linear" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * left


def _drawn(near: np.ndarray | None, k: int, rng: np.random.Generator) -> np.ndarray | None:
    """k different places of each mention's pool, (mentions, k)."""
    if near is None:
        return None
    places = rng.random(near.shape).argpartition(k - 1, axis=1)[:, :k]
    return np.take_along_axis(near, places, axis=1)


def _validate(
    model: Heads[Any, Any], data: LinkingData, rows: np.ndarray, config: EvaluateConfig,
    group: Group,
) -> dict[str, float]:  # fmt: skip
    own = rows[group.share(len(rows))]
    gold = data.gold["valid"][own]
    found = rank_gold(model, data.inputs, data.views, "valid", own, gold, config)
    ranks = np.concatenate(group.gathered(found))
    return {f"valid_{metric.key}": metric.of(ranks) for metric in validated()}


def validation_rows(gold: Mapping[str, np.ndarray], config: TrainConfig) -> np.ndarray:
    """Validation mentions that choose the epoch, ascending.

    Args:
        gold: as of `LinkingData`.

    Raises:
        MelovError: there is none.
    """
    rows: np.ndarray = np.arange(len(gold["valid"]))
    if not len(rows):
        raise MelovError(
            "the validation split has no mention, and the best epoch is chosen on it",
            "put some mentions into it and prepare the data set again",
        )
    if config.valid_on == "unseen":
        rows = rows[~np.isin(gold["valid"], gold["train"])]
        if not len(rows):
            raise MelovError(
                "train.valid_on=unseen: the entity of every validation mention has a training one",
                "--set train.valid_on=all",
            )
    found: np.ndarray = rows[sample(len(rows), config.valid_mentions)]
    return found


def first_of_each(order: np.ndarray, entity: np.ndarray, most: int) -> np.ndarray:
    """`order` (n,) with the first `most` places of each entity, whose `entity` (n,) says of whom
    they are."""
    by_entity = np.argsort(entity, kind="stable")
    grouped = entity[by_entity]
    place = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    kept = np.zeros(len(order), dtype=bool)
    kept[by_entity] = place < most
    return order[kept]


def sample(n: int, most: int) -> np.ndarray:
    """Rows of n: a fixed sample, the same for every seed and variant, so that runs compare."""
    if most == 0 or n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))
