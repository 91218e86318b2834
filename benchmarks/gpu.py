"""On a GPU: extraction against the plain loop and the model alone, an epoch out of the store, and
ranking of the whole test split, at WikiMEL's size or the quick one."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compare import (
    Mark,
    Result,
    Timing,
    at_least,
    at_most,
    compare,
    ratio_of,
    seconds_of,
)
from benchmarks.extract import ALONE, FULL, PLAIN, PLAIN_SHARE, QUICK, encoding_seconds
from benchmarks.model_alone import ModelAlone
from benchmarks.photographs import write_clip, write_photographs
from benchmarks.plain_run import PlainRun
from benchmarks.training import MEMORY, STREAMED, Steps
from cache.errors import MelovError
from cache.reader import FeatureStore
from stages.config import EvaluateConfig, ExtractConfig
from stages.device import resolve_device
from stages.encode.extract import Extraction, extract
from stages.paths import DatasetPaths
from stages.ranking.rank import rank_gold

EPOCHS = 2
"""Trained before anything is ranked, as `benchmarks.ranking` does."""


def run(full: bool, rounds: int) -> Result:
    """Raises MelovError where there is no GPU."""
    device = resolve_device("auto")
    if device.type != "cuda":
        raise MelovError("no CUDA device is available", "python -m benchmarks measures the CPU")
    timings, marks, notes, values = _extraction(full, rounds)
    of_heads = _heads(full, rounds, device)
    size = "WikiMEL's size" if full else "the quick size"
    return Result(
        "gpu",
        f"{torch.cuda.get_device_name()}; heads at {size}",
        [*timings, *of_heads[0]],
        [*marks, *of_heads[1]],
        [*notes, *of_heads[2]],
        {**values, **of_heads[3]},
    )


Part = tuple[list[Timing], list[Mark], list[str], dict[str, Any]]


def _extraction(full: bool, rounds: int) -> Part:
    size = FULL if full else QUICK
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        root = Path(name)
        config = ExtractConfig(text_encoder=str(write_clip(root / "clip")))
        paths = DatasetPaths("photographs", root)
        write_photographs(paths, size)
        extract(paths, config)
        store = FeatureStore.open(paths.store)
        alone = ModelAlone(paths, config, store)
        plain = PlainRun(paths, config, share := PLAIN_SHARE[size])
        ours: list[Extraction] = []
        found = compare(
            {
                "extraction, ours": lambda: ours.append(extract(paths, config, force=True)),
                PLAIN: plain,
                ALONE: alone,
            },
            rounds,
        )
        plain.close()
        cosines = plain.cosines(FeatureStore.open(paths.store))
    whole, of_plain, of_model = (t.seconds for t in found)
    of_plain /= share
    encoding = statistics.median(encoding_seconds(one) for one in ours[-rounds:])
    rows = size.pictures + size.texts
    return (
        found,
        [
            at_least("rate over the model's alone", of_model / encoding, 0.85),
            at_least("rate over the plain loop's", of_plain / encoding, 4),
            *(at_least(f"least cosine to float32, {n}", c, 0.999, "") for n, c in cosines.items()),
        ],
        [
            f"{size.pictures} pictures and {size.texts} texts: {whole:.2f} s in all, of them "
            f"{encoding:.2f} s to encode and write ({rows / encoding:.0f} rows/s); the plain loop "
            f"{of_plain:.2f} s (run over {share:.0%}), the model alone {of_model:.2f} s in "
            f"{alone.dtype} ({alone.flops / of_model / 1e12:.0f} TFLOP/s)"
        ],
        {
            "encoding_seconds": encoding,
            "timings": [one.timings for one in ours],
            "cosines": cosines,
        },
    )


def _heads(full: bool, rounds: int, device: torch.device) -> Part:
    steps = Steps(full, device)
    count = 36 if full else 6
    steps.streamed(count)
    held = [steps.load(rows) for rows in steps.rows(count)]
    found = compare(
        {STREAMED: partial(steps.streamed, count), MEMORY: partial(steps.held, held)}, rounds
    )
    held.clear()
    epochs = [seconds_of(partial(steps.streamed, steps.per_epoch)) for _ in range(EPOCHS)]
    data, model = steps.data, steps.model.eval()
    gold = data.gold["test"]
    rank = partial(
        rank_gold, model, data.inputs, data.views, "test", np.arange(len(gold)), gold,
        EvaluateConfig(),
    )  # fmt: skip
    ranked = [seconds_of(rank) for _ in range(2)]
    peak = torch.cuda.max_memory_allocated() / 2**30
    return (
        found,
        [
            at_most("an epoch", min(epochs), 3, " s"),
            at_most(f"ranking {len(gold)} mentions x {len(data.views)}", min(ranked), 5, " s"),
            at_least("streaming, rate over batches in memory", ratio_of(found, MEMORY), 0.9),
        ],
        [
            "epochs: " + ", ".join(f"{e:.2f}" for e in epochs) + " s; ranking: "
            + ", ".join(f"{r:.2f}" for r in ranked) + f" s; {peak:.1f} GiB of the GPU at the peak",
        ],
        {"epochs": epochs, "ranked": ranked, "peak_gib": peak},
    )  # fmt: skip
