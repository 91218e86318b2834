"""What a second encoder costs in training: steps with the unit of further encoders and without."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.compare import Result, at_most, compare, ratio_of
from benchmarks.made import made_dataset
from benchmarks.training import CPU, Steps
from cache.build import building
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from stages.config import TrainConfig
from stages.datasets.further import list_further
from stages.encode.arrays import specs_of
from stages.features.stored import rows_of, whole
from stages.further import SENTENCE
from stages.paths import SPLITS, DatasetPaths
from stages.runs.dataset import Dataset

WIDTH = 768
"""Of a base model's global features."""
ONE, BOTH = "one encoder", "two encoders"


def run(full: bool, rounds: int) -> Result:
    paths = made_dataset(full)
    made_further(paths)
    count = 12 if full else 6
    settings = {BOTH: TrainConfig(preset="strong"), ONE: TrainConfig(preset="strong", further=())}
    steps = {name: Steps(full, CPU, config) for name, config in settings.items()}
    for of in steps.values():
        of.streamed(3)
    timings = compare({name: partial(of.streamed, count) for name, of in steps.items()}, rounds)
    ratio = 1 / ratio_of(timings, ONE)
    both = steps[BOTH]
    return Result(
        "further",
        f"{count} steps of melov, preset strong, batch {both.config.batch_size}, "
        f"{len(both.gold)} mentions, {both.entities} entities; the second encoder of width {WIDTH}",
        timings,
        [at_most("training with two encoders over with one", ratio, 1.3)],
        [],
        {"ratio": ratio},
    )


def made_further(paths: DatasetPaths) -> None:
    """A further encoder's store of random features, with the texts of the first one's."""
    dataset = Dataset.open(paths)
    store = dataset.store
    groups = ["entities", *(f"mentions/{split}" for split in SPLITS)]
    rows = {f"{g}/text": rows_of(store, f"{g}/text", "texts/global") for g in groups}
    rows |= {f"{g}/{SENTENCE}": rows[f"{g}/text"] for g in groups[1:]}
    arrays = {"texts/keys": whole(store, "texts/keys"), **rows}
    n = len(store["texts/global"])
    spec = ArraySpec("texts/global", (n, WIDTH), "float16")
    asked = Fingerprint({"records": dataset.records.digest, "text_encoder": "made"})
    target, work = paths.further_store("made"), paths.further_partial("made")
    if not target.exists():
        with building(target, work, asked.digest, asked, [spec, *specs_of(arrays)]) as build:
            units = []
            rng = np.random.default_rng(2)
            for lo in range(0, n, spec.chunk_rows):
                values = rng.standard_normal((min(spec.chunk_rows, n - lo), WIDTH), np.float32)
                units.append(f"texts/{lo}")
                build.write(units[-1], [("texts/global", lo, values.astype(np.float16))])
            build.write("records", [(name, 0, array) for name, array in arrays.items()])
            about = {"reads": "texts", "encoder": "made", "width": WIDTH, "failed_pictures": {}}
            build.finish([*units, "records"], about)
    list_further(paths, ["made"])
