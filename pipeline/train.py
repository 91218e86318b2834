"""Train the heads:  python -m pipeline.train --dataset wikimel --variant melov --seed 0

On several devices:  torchrun --nproc-per-node 2 -m pipeline.train --dataset wikimel
"""

from pathlib import Path

from cache.locks import working
from pipeline.cli import command, echo, run_options
from stages.config import Params
from stages.paths import DatasetPaths
from stages.ranking.metrics import validated
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import fit, take_part
from stages.runs.folder import RunFolder
from stages.runs.history import plot_history
from stages.training.group import training_group
from stages.training.train import Trained


@command("Train the heads over the cached features.", resumes=True)
@run_options
def main(params: Params, paths: DatasetPaths, variant: str, seed: int) -> None:
    folder = RunFolder.of(paths, variant, seed)

    def show(row: dict[str, float]) -> None:
        tau = f"  tau {row['tau']:.3f}" if "tau" in row else ""
        valid = "  ".join(f"{m.title} {row[f'valid_{m.key}']:.4f}" for m in validated())
        loss = f"loss {row['loss']:.4f}" if "loss" in row else "the start  "
        echo(f"epoch {row['epoch']:>2.0f}  {loss}{tau}  valid {valid}")

    def draw(path: Path, trained: Trained) -> None:
        title = f"{paths.dataset}: {variant}, seed {seed}"
        plot_history(path, trained.history, trained.best_epoch, title)

    spec = RunSpec.of(variant, seed, params.train)
    paths.require_records()  # before a lock makes the data set's folder
    with training_group(params.train.device) as group:
        if not group.is_first:
            take_part(spec, Dataset.open(paths), folder, params.evaluate, group)
            return
        with working(paths.lock(f"run-{variant}-s{seed}"), "trains"):
            _, trained = fit(spec, Dataset.open(paths), folder, params.evaluate, show, draw, group)
    course = f"best epoch {trained.best_epoch} of {len(trained.history) - 1}"
    if trained.history and not trained.best_epoch:
        course += ": the start, which nothing learned has bettered on validation"
    echo(f"{folder.path}: {course if trained.history else 'nothing to train'}")


if __name__ == "__main__":
    main()
