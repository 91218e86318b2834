"""Bandwidth, similarities and sparse rows of a data set: `python -m pipeline.graph --dataset X`."""

import json
from pathlib import Path

from cache.locks import working
from pipeline.cli import command, echo
from stages.config import Params
from stages.datasets.further import open_further
from stages.datasets.store import graph_provenance, open_store
from stages.graph.graph import build_graph
from stages.graph.plots import plot_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths


@command(
    "Build the similarity graph of the mentions (eq. 3) from the feature store, in data/NAME/graph."
)
def main(params: Params, paths: DatasetPaths) -> None:
    paths.require_records()  # before a lock makes the data set's folder
    with working(paths.lock("graph"), "builds the graph"):
        store = open_store(paths)
        records = store.fingerprint.fields["records"]
        further = {name: open_further(paths, name, records) for name in params.graph.further}
        source = GraphSource.of(store, params.graph, further)
        graph = build_graph(source.features, source.pictures, params.graph)

        def draw(folder: Path) -> None:
            train, tau = source.features["train"], params.train.tau_init
            plot_graph(graph, train, folder / "similarities.png", tau)

        graph.save(paths.graph, graph_provenance(store, further), draw)
    splits = graph.stats["splits"]
    for name, value in graph.stats.items():
        if name != "splits":
            echo(f"{name:14} {value}")
    for split, found in splits.items():
        echo(f"{split:14} {json.dumps(found)}")
    echo(f"written to     {paths.graph}")


if __name__ == "__main__":
    main()
