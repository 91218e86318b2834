"""Exact ranks and metrics:  python -m pipeline.evaluate --dataset wikimel --variant melov"""

import time

from cache.files import atomic_path
from pipeline.cli import command, echo, run_options
from stages.config import Params
from stages.device import heads_device
from stages.paths import DatasetPaths
from stages.ranking.metrics import shown
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from stages.shown import one_line


@command("Rank every mention of validation and test over the whole knowledge base.")
@run_options
def main(params: Params, paths: DatasetPaths, variant: str, seed: int) -> None:
    opened = Dataset.open(paths)
    folder = RunFolder.of(paths, variant, seed)
    run = Run.open(folder, heads_device(params.evaluate.device))
    begun = time.perf_counter()
    found = run.evaluate(opened, params.evaluate)
    seconds = time.perf_counter() - begun
    with atomic_path(paths.figures(variant, seed)) as path:
        path.write_bytes(folder.metrics.read_bytes())
    for part, values in found.items():
        if isinstance(values, dict) and "mentions" in values:
            rates = "  ".join(f"{metric.title} {values[metric.key]:.4f}" for metric in shown())
            echo(f"{one_line(part):<26} n {values['mentions']:>5}  {rates}")
    echo(f"ranked in {seconds:.3f} s")


if __name__ == "__main__":
    main()
