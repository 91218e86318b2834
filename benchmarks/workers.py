"""Extraction by two workers on this machine, processes or Ray actors, against the plain command."""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.compare import Result, at_most, compare
from benchmarks.photographs import Size, write_clip, write_photographs
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.encode.extract import extract
from stages.encode.ways import ALONE, Doers, Workers
from stages.paths import DatasetPaths

QUICK, FULL = Size(200), Size(4_000)
MOST_ROUNDS = 3  # one takes minutes at full size
WORKERS = 2
SHARE = 1.15
"""Time of two Ray workers over the plain command's: at most."""

LOCAL, ON_RAY = f"{WORKERS} processes", f"{WORKERS} Ray workers"


def run(full: bool, rounds: int) -> Result:
    import ray

    size = FULL if full else QUICK
    # The start of the cluster does not count; that of its workers does.
    ray.init(
        num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    ways = {
        "ours": ALONE,
        LOCAL: Doers(workers=Workers(WORKERS)),
        ON_RAY: Doers(workers=Workers("ray", gpus=0)),
    }
    timings: dict[str, Any] = {}
    identities: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        root = Path(name)
        config = ExtractConfig(text_encoder=str(write_clip(root / "clip")))
        paths = DatasetPaths("photographs", root)
        write_photographs(paths, size)

        def extracted(name: str) -> None:
            timings[name] = extract(paths, config, force=True, doers=ways[name]).timings
            identities[name] = FeatureStore.open(paths.store).identity

        found = compare({name: partial(extracted, name) for name in ways}, min(rounds, MOST_ROUNDS))
    ray.shutdown()
    ratio = {timing.name: timing.ratio for timing in found}[ON_RAY]
    # At the quick size the start of two processes that import torch is most of the run.
    marks = [at_most(f"{ON_RAY}, time over the plain command's", ratio, SHARE, "")] if full else []
    equal = all(identities[name] == identities["ours"] for name in ways)
    return Result(
        "workers",
        f"{size.pictures} JPEG files of about 500 x 400 and {size.texts} texts, CLIP ViT-B/32",
        found,
        marks,
        [
            f"the stores are {'equal' if equal else 'not equal: other numbers of threads'}",
            *(
                f"{name}: {timings[name]['pictures']['rows_per_second']:.1f} pictures a second"
                for name in ways
            ),
        ],
        {"timings": timings},
    )
