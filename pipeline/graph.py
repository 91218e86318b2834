"""Bandwidth, similarities and sparse rows of a data set: `python -m pipeline.graph --dataset X`."""

import json

import click

from pipeline.cli import command
from stages.config import Params
from stages.datasets.store import open_store, provenance_of
from stages.graph.graph import build_graph
from stages.graph.plots import plot_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths


@command(
    "Build the similarity graph of the mentions (eq. 3) from the feature store, in data/NAME/graph."
)
def main(params: Params, paths: DatasetPaths) -> None:
    store = open_store(paths)
    source = GraphSource.of(store)
    graph = build_graph(source.features, source.pictures, params.graph)
    # The picture first: graph.json says that the folder is complete.
    picture = paths.graph / "similarities.png"
    plot_graph(graph, source.features["train"], picture, params.train.tau_init)
    graph.save(paths.graph, provenance_of(store))
    splits = graph.stats["splits"]
    for name, value in graph.stats.items():
        if name != "splits":
            click.echo(f"{name:14} {value}")
    for split, found in splits.items():
        click.echo(f"{split:14} {json.dumps(found)}")
    click.echo(f"written to     {paths.graph}")


if __name__ == "__main__":
    main()
