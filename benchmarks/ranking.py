"""Ranking over the whole knowledge base: pairs a second against the padded dense formulas, the
whole test split, memory as the knowledge base grows, and scaling."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import padded
from benchmarks.compare import Mark, PeakMemory, Result, Timing, at_least, at_most, compare, slope
from benchmarks.made_heads import Trained, around, trained_heads
from stages.features.views import Views

DENSE_MENTIONS, DENSE_BLOCK, DENSE_ENTITIES = 64, (16, 64), 4096
"""Of the padded formulas: 64 mentions against 4,096 entities, some 300 MB at a time."""


UNSCREENED = 96
"""Mentions of the run that gives every pair its attention."""


def run(full: bool, rounds: int) -> Result:
    trained = trained_heads(full)
    views = trained.data.views
    tests = len(trained.data.gold["test"])
    slice_ = around(len(views), min(DENSE_ENTITIES, len(views)))
    dense = partial(_dense, trained, slice_)
    same, gap = _same_ranks(trained, slice_)
    mentions, unscreened = tests if full else min(512, tests), min(UNSCREENED, tests)
    timings = compare(
        {
            "ours": partial(trained.rank, mentions, views),
            "ours, no screen": partial(trained.rank, unscreened, views, screen=False),
            "padded dense formulas": dense,
        },
        rounds if not full else 3,
    )
    pairs = {"ours": mentions * len(views), "ours, no screen": unscreened * len(views)}
    pairs["padded dense formulas"] = DENSE_MENTIONS * len(slice_)
    rates = {t.name: pairs[t.name] / t.seconds for t in timings}
    begun = time.perf_counter()
    with PeakMemory() as peak:
        ranks = trained.rank(tests, views)
    whole = time.perf_counter() - begun
    grown, grown_note = _memory(trained, full)
    scaling, linear = _scaling(trained)
    goal = 12 * 60 if full else 60
    return Result(
        "ranking",
        f"{mentions} test mentions against {len(views)} entities; times are a pair's",
        [_by_pair(t, pairs) for t in timings],
        [
            at_least(
                "pairs a second over the padded dense formulas'",
                rates["ours"] / rates["padded dense formulas"],
                40,
            ),
            Mark(
                "ranks equal the dense formulas' but where scores agree to 1e-5",
                "all",
                f"{same} of {DENSE_MENTIONS}, largest gap among the others {gap:.1e}",
                gap <= 1e-5,
            ),
            at_most(f"the whole test split, {tests} x {len(views)}", whole, goal, " s"),
            at_most("peak private memory", peak.gib, 4, " GiB"),
            grown,
            linear,
        ],
        [
            f"ours: {rates['ours'] / 1e6:.2f} million pairs/s; without the screen "
            f"{rates['ours, no screen'] / 1e6:.2f}; dense "
            f"{rates['padded dense formulas'] / 1e3:.0f} thousand",
            f"MRR of the made test split: {(1 / ranks).mean():.3f}",
            grown_note,
        ],
        {"pairs_per_second": rates, "whole_seconds": whole, "scaling": scaling},
    )


@torch.inference_mode()
def _dense(trained: Trained, views: Views) -> torch.Tensor:
    """Scores of DENSE_MENTIONS test mentions and all of `views`."""
    model, data = trained.model, trained.data
    rows = np.arange(DENSE_MENTIONS)
    some, many = DENSE_BLOCK
    sides = [
        padded.mention_side(model, data.inputs.batch("test", rows[i : i + some]))
        for i in range(0, len(rows), some)
    ]
    strips = []
    for start in range(0, len(views), many):
        entities = padded.entity_side(model, data.cached.entities(views.rows[start : start + many]))
        strips.append(torch.cat([padded.all_pairs(model.matcher, s, entities) for s in sides]))
    return torch.cat(strips, 1)


def _same_ranks(trained: Trained, views: Views) -> tuple[int, float]:
    """Mentions with equal ranks, and the largest gap that any other rank hangs on."""
    gold = torch.from_numpy(trained.data.gold["test"][:DENSE_MENTIONS] % len(views))
    scores = _dense(trained, views)
    want = padded.ranks_of(scores, gold)
    found = trained.rank(DENSE_MENTIONS, views)
    gaps = (scores - scores.gather(1, gold[:, None])).abs().sort(1).values[:, 1:]  # but its own
    worst = 0.0
    for i in np.flatnonzero(found != want):
        places = int(np.ceil(abs(found[i] - want[i])))
        worst = max(worst, float(gaps[i, places - 1]))
    return int((found == want).sum()), worst


def _memory(trained: Trained, full: bool) -> tuple[Mark, str]:
    """Peak memory at the stored size and at nine times it (a million at the full size)."""
    stored = len(trained.data.views)
    sizes = (stored, 1_000_000 if full else 9 * stored)
    peaks = []
    for size in sizes:
        views = around(stored, size)
        with PeakMemory() as peak:
            trained.rank(64, views)
        peaks.append(peak.grown_gib)
    more = peaks[1] - peaks[0]
    note = "memory above the start, by entities: " + ", ".join(
        f"{n:,}: {p:.2f} GiB" for n, p in zip(sizes, peaks, strict=True)
    )
    return at_most(f"more memory for {sizes[1]:,} entities", more, 0.25, " GiB"), note


def _scaling(trained: Trained) -> tuple[dict[str, Any], Mark]:
    """Time of 64 mentions against an eighth, a quarter, a half and the whole of the entities."""
    stored = len(trained.data.views)
    sizes = [stored // part for part in (8, 4, 2, 1)]
    seconds = []
    for size in sizes:
        views = around(stored, size)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            trained.rank(64, views)
            times.append(time.perf_counter() - begun)
        seconds.append(min(times))
    found = slope(sizes, seconds)
    values = {"entities": sizes, "seconds": seconds, "slope": found}
    return values, at_most("log-log slope of time against entities", found, 1.15, "")


def _by_pair(timing: Timing, pairs: dict[str, int]) -> Timing:
    """Seconds of a million pairs; the ratios follow, since contenders rank different numbers."""
    scale = pairs["ours"] / pairs[timing.name]
    return Timing(
        f"{timing.name}, a million pairs",
        timing.seconds / pairs[timing.name] * 1e6,
        timing.ratio * scale,
        timing.ratio_min * scale,
        timing.ratio_max * scale,
    )
