"""Train the heads:  python -m pipeline.train --dataset wikimel --variant melov --seed 0"""

from __future__ import annotations

import json

import click

from cache.files import atomic_path
from pipeline.cli import command, run_options
from stages.config import Params
from stages.device import heads_device
from stages.heads.baselines.names import settled
from stages.paths import DatasetPaths
from stages.runs.data import open_dataset, run_data
from stages.runs.history import plot_history, write_history
from stages.runs.saved import RunInfo, save_heads
from stages.training.train import forget, train


@command("Train the heads over the cached features.")
@run_options
def main(params: Params, paths: DatasetPaths, variant: str, seed: int) -> None:
    opened = open_dataset(paths)
    config = settled(params.train, variant)
    data, heads = run_data(opened, config, variant, heads_device(config.device))
    run = paths.run(variant, seed)
    work = run.parent / ".partial" / run.name

    def show(row: dict[str, float]) -> None:
        tau = f"  tau {row['tau']:.3f}" if "tau" in row else ""
        click.echo(
            f"epoch {row['epoch']:>2.0f}  loss {row['loss']:.4f}{tau}  "
            f"valid MRR {row['valid_mrr']:.4f}  H@1 {row['valid_hits@1']:.4f}"
        )

    trained = train(data, heads, config, params.evaluate, seed, work, show)
    run.mkdir(parents=True, exist_ok=True)
    for stale in (
        "config.json",
        "metrics.json",
        "ranks.npz",
    ):  # of the weights that are replaced now
        (run / stale).unlink(missing_ok=True)
    write_history(run, trained.history)
    title = f"{paths.dataset}: {variant}, seed {seed}"
    plot_history(run / "history.png", trained.history, trained.best_epoch, title)
    with atomic_path(run / "timings.json") as path:
        timings = {"seconds_per_epoch": [round(s, 3) for s in trained.seconds]}
        path.write_text(json.dumps(timings) + "\n")
    settings = config.model_dump(mode="json")
    save_heads(run, trained.state, RunInfo(paths.dataset, seed, heads, settings, data.provenance))
    forget(work)
    course = f"best epoch {trained.best_epoch} of {len(trained.history)}"
    click.echo(f"{run}: {course if trained.history else 'nothing to train'}")


if __name__ == "__main__":
    main()
