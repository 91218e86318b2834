"""Extraction: JPEG files and sentences to a finished store, against transformers' plain float32
loop and the model's forward alone; an update with 1 % new entities; scaling; memory."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.compare import Mark, PeakMemory, Result, at_least, at_most, compare
from benchmarks.machine import gemm_rate
from benchmarks.model_alone import ModelAlone
from benchmarks.photographs import Size, write_clip, write_photographs
from benchmarks.plain_run import PlainRun
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.encode.extract import Extraction, extract
from stages.paths import DatasetPaths

QUICK, FULL = Size(200), Size(4_000)
PLAIN_SHARE = {QUICK: 0.25, FULL: 0.125}
"""Of pictures and texts that the plain loop encodes; its time is scaled up by rows."""
SCALES = (8, 4, 2)  # the data set's size over the smaller ones'
MOST_ROUNDS = 3  # one takes two minutes at full size

PLAIN, ALONE = "transformers' plain float32 loop", "model only, our dtype"


def run(full: bool, rounds: int) -> Result:
    size = FULL if full else QUICK
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        root = Path(name)
        config = ExtractConfig(text_encoder=str(write_clip(root / "clip")))
        paths = DatasetPaths("photographs", root)
        write_photographs(paths, size)
        with PeakMemory() as peak:
            first = extract(paths, config)
        store = FeatureStore.open(paths.store)
        alone = ModelAlone(paths, config, store)
        plain = PlainRun(paths, config, PLAIN_SHARE[size])
        ours: list[Extraction] = [first]
        timings = compare(
            {
                "ours": lambda: ours.append(extract(paths, config, force=True)),
                PLAIN: plain,
                ALONE: alone,
            },
            rounds := min(rounds, MOST_ROUNDS),
        )
        plain.close()
        scaled = {PLAIN: 1 / PLAIN_SHARE[size]}
        timings = [
            replace(
                t,
                seconds=t.seconds * (factor := scaled.get(t.name, 1.0)),
                ratio=t.ratio * factor,
                ratio_min=t.ratio_min * factor,
                ratio_max=t.ratio_max * factor,
            )
            for t in timings
        ]
        seconds = {t.name: t.seconds for t in timings}
        cosines = plain.cosines(FeatureStore.open(paths.store))
        size_of_store = store.nbytes()
        updated, reused = update(paths, config, size)
        encoding = float(np.median([encoding_seconds(one) for one in ours[-rounds:]]))
        scaling = {size.pictures: encoding}
        for part in SCALES:
            scaling[size.pictures // part] = time_of(root, config, Size(size.pictures // part))
    planning = ours[-1].timings["seconds_planning"]
    share = updated / seconds["ours"]
    gflops = alone.flops / seconds[ALONE] / 1e9
    gemm = gemm_rate(alone.encoder_dtype) / 1e9
    return Result(
        "extract",
        f"{size.pictures} JPEG files of about 500 x 400 and {size.texts} texts, CLIP ViT-B/32",
        timings,
        [
            at_least("rate over the plain loop's", seconds[PLAIN] / encoding, 4),
            at_least("rate over the model's alone", seconds[ALONE] / encoding, 0.85),
            *(at_least(f"least cosine to float32, {n}", c, 0.999, "") for n, c in cosines.items()),
            at_most("peak private memory", peak.gib, 3, " GiB"),
            update_mark(share, full),
            slope_mark(scaling),
        ],
        [
            f"{seconds['ours']:.1f} s in all: {planning:.1f} s to read records, tokens, weights; "
            f"{encoding:.1f} s to encode and write, which the rates are of, since the others are "
            "timed without a start; the rest to hash the weights and to finish",
            f"the plain loop ran over {PLAIN_SHARE[size]:.0%} of the rows and is scaled up; "
            "cosines are those of all its rows",
            f"forward: {alone.flops / 1e12:.1f} TFLOP, {gflops:.0f} GFLOP/s alone, "
            f"{gflops / gemm:.0%} of the measured {alone.dtype} product's {gemm:.0f}",
            f"the store: {size_of_store / 1e9:.2f} GB; the update took {updated:.1f} s "
            f"and reused {reused['texts']} texts and {reused['pictures']} pictures",
        ],
        {
            "scaling": {"pictures": list(scaling), "seconds_encoding": list(scaling.values())},
            "timings": [extraction.timings for extraction in ours],
            "update_seconds": updated,
            "update_share": share,
            "cosines": cosines,
        },
    )


def encoding_seconds(extraction: Extraction) -> float:
    """Without planning: opening the model takes the same at any size."""
    kinds = (extraction.timings[kind] for kind in ("texts", "pictures"))
    return sum(
        value for timing in kinds for name, value in timing.items() if name.startswith("seconds")
    )


def update(paths: DatasetPaths, config: ExtractConfig, size: Size) -> tuple[float, dict[str, int]]:
    """Seconds of an extraction after 1 % more entities, and the rows that it did not encode."""
    write_photographs(paths, size, added=max(1, round(0.01 * size.pictures)))
    begun = time.perf_counter()
    done = extract(paths, config)
    seconds = time.perf_counter() - begun
    assert done.reused is not None
    return seconds, done.reused


def update_mark(share: float, full: bool) -> Mark:
    what, goal = "1 % new entities, time over the first run's", "at most 0.03"
    if full:
        return at_most(what, share, 0.03, "")
    # A fixed start (the weights, the tokenizer) is most of so short a run.
    return Mark(what, f"{goal}, judged at full size only", f"{share:.3g}", True)


def time_of(root: Path, config: ExtractConfig, size: Size) -> float:
    paths = DatasetPaths(f"photographs-{size.pictures}", root)
    write_photographs(paths, size)
    return encoding_seconds(extract(paths, config))


def slope_mark(scaling: dict[int, float]) -> Mark:
    sizes, seconds = np.log(list(scaling)), np.log(list(scaling.values()))
    slope = float(np.polyfit(sizes, seconds, 1)[0])
    return at_most("scaling: slope of log time over log size", slope, 1.1, "")
