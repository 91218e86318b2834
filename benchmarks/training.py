"""Training out of the store: the rate against batches in memory, the GCN's product, an epoch's
time against encoding each batch again, memory, and how it scales."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.aggregation import aggregation
from benchmarks.compare import Mark, PeakMemory, Result, at_least, at_most, compare, ratio_of
from benchmarks.frozen_clip import FrozenClip
from benchmarks.made import made_dataset
from stages.allocator import keep_freed_memory
from stages.config import TrainConfig
from stages.heads.model import Melov
from stages.runs.dataset import Dataset, RunSpec
from stages.training.prefetch import prefetch
from stages.training.step import Batch, load_batch, train_step

MEMORY, STREAMED = "the same batches in memory", "training steps, ours"
CPU = torch.device("cpu")


class Steps:
    """Training steps of melov on the made data set.

    Args:
        full: WikiMEL's size or the quick one.
        device: where the heads are.
        config: the settings; None: as published.
    """

    def __init__(
        self, full: bool, device: torch.device = CPU, config: TrainConfig | None = None
    ) -> None:
        keep_freed_memory()  # as training does
        dataset = Dataset.open(made_dataset(full))
        spec = RunSpec.of("melov", 0, config or TrainConfig(preset="paper"))
        spec = dataset.settled(spec)
        self.config = spec.train
        heads = dataset.heads(spec)
        data = dataset.data(heads, self.config, device)
        self.data, self.inputs, self.gold = data, data.inputs, data.gold["train"]
        self.entities = len(data.views)
        torch.manual_seed(0)
        self.device = device
        self.model = Melov(heads).train().to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.config.learning_rate)
        self.order = np.random.default_rng(0).permutation(len(self.gold))

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self.gold) / self.config.batch_size)

    def rows(self, steps: int) -> list[np.ndarray]:
        """Mentions of so many whole batches, from the start again after the last one."""
        size = self.config.batch_size
        whole = [self.order[i : i + size] for i in range(0, len(self.order) - size + 1, size)]
        return [whole[i % len(whole)] for i in range(steps)]

    def load(self, rows: np.ndarray, entities: int | None = None) -> Batch:
        """A batch whose gold entities lie among the first `entities` of the knowledge base."""
        return load_batch(self.inputs, rows, self.gold[rows] % (entities or self.entities))

    def streamed(self, steps: int, entities: int | None = None) -> None:
        load = partial(self.load, entities=entities)
        for batch in prefetch(load, self.rows(steps), self.device):
            self.step(batch)

    def held(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.step(batch)

    def step(self, batch: Batch) -> None:
        train_step(self.model, self.optimizer, batch, self.config)


def run(full: bool, rounds: int) -> Result:
    steps = Steps(full)
    count = 12 if full else 6
    with PeakMemory() as peak:
        steps.streamed(36 if full else 6)
    held = [steps.load(rows) for rows in steps.rows(count)]
    first = held[0]
    timings = compare(
        {STREAMED: partial(steps.streamed, count), MEMORY: partial(steps.held, held)}, rounds
    )
    held.clear()
    step = timings[0].seconds / count
    scaling, scaling_marks = _scaling(steps, full)
    epoch, how = scaling["epoch_seconds"][-1], "measured"
    if full:
        epoch, how = step * steps.per_epoch, f"{steps.per_epoch} steps at the measured rate"
    encoding, clip_note = _encoding(first, full)
    ratio = (encoding + step) / step
    product_timings, product_marks, product_notes = aggregation(rounds)
    nodes = first.mentions.neighborhood
    assert nodes is not None
    return Result(
        "training",
        f"{count} steps of melov, batch {steps.config.batch_size}, {len(steps.gold)} mentions, "
        f"{steps.entities} entities",
        [*timings, *product_timings],
        [
            at_least("streaming, rate over batches in memory", ratio_of(timings, MEMORY), 0.9),
            at_most("peak private memory of training", peak.gib, 6, " GiB"),
            *product_marks,
            *scaling_marks,
        ],
        [
            f"one epoch: {epoch:.1f} s, {how}; encoding each batch again, a step takes "
            f"{ratio:.0f} times as long",
            clip_note,
            f"a batch reads {len(nodes.nodes)} mentions' pictures for the GCN (limit "
            f"{steps.config.neighbor_limit}, {steps.config.gcn_layers} layers)",
            *product_notes,
        ],
        {
            "step_seconds": step,
            "epoch_seconds": epoch,
            "encoding_seconds_per_step": encoding,
            "encoding_ratio": ratio,
            "peak_gib": peak.gib,
            "scaling": scaling,
        },
    )


def _encoding(batch: Batch, full: bool) -> tuple[float, str]:
    """Seconds to encode a batch's own pictures and texts, without its neighbors' pictures."""
    clip = FrozenClip()
    records = len(batch.mentions.features) + len(batch.entities)
    tokens = batch.mentions.features.text_local.shape[1]
    seconds = clip.seconds(records, records, tokens, share=1.0 if full else 0.125)
    part = "all of it" if full else "an eighth of it, scaled"
    return seconds, (
        f"frozen CLIP ViT-B/32 in {clip.dtype}: {seconds:.1f} s for the {records} pictures and "
        f"texts of one batch ({part}), without the neighbours' pictures and without decoding"
    )


def _scaling(steps: Steps, full: bool) -> tuple[dict[str, Any], list[Mark]]:
    """Step time over the knowledge base's size; epoch time over the mentions. Log-log slopes."""
    kb = [steps.entities // part for part in (8, 4, 2, 1)]
    laps = 8 if full else 2
    by_size = compare({str(n): partial(steps.streamed, laps, n) for n in kb}, rounds=2)
    seconds = [t.seconds / laps for t in by_size]
    counts = [4, 8, 16, 32] if full else [1, 2, 4, 7]
    by_count = compare({str(n): partial(steps.streamed, n) for n in counts}, rounds=2)
    mentions = [n * steps.config.batch_size for n in counts]
    epochs = [t.seconds for t in by_count]
    flat, linear = _slope(kb, seconds), _slope(mentions, epochs)
    found = {
        "kb_entities": kb,
        "step_seconds": seconds,
        "kb_slope": flat,
        "mentions": mentions,
        "epoch_seconds": epochs,
        "mentions_slope": linear,
    }
    return found, [
        at_most("step time over the KB's size, slope's distance from 0", abs(flat), 0.1, ""),
        at_most("epoch time over mentions, slope's distance from 1", abs(linear - 1), 0.1, ""),
    ]


def _slope(x: list[int], y: list[float]) -> float:
    """Of log y over log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
