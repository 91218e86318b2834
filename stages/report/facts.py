"""What a report tells of the data itself: records, graph, and pictures that failed."""

from dataclasses import dataclass
from typing import Any

from cache.errors import MelovError
from stages.datasets.records import Records
from stages.datasets.store import SUMMARY, open_store, read_summary
from stages.graph.files import load_matrix, read_graph_index
from stages.paths import NIL, DatasetPaths
from stages.report.drawing import Drawing
from stages.report.histograms import draw_degrees, draw_similarities

GRAPH_LINES = {
    "setting": "setting",
    "metric": "metric",
    "backend": "backend",
    "bandwidth": "bandwidth b (eq. 3)",
    "mean_distance": "mean distance",
    "floor": "floor: similarities stored above",
    "max_neighbors": "most neighbours of a mention",
    "n": "training mentions",
    "edges": "edges between them",
    "mean_degree": "neighbours on average",
    "max_degree": "neighbours at most",
    "isolated": "without a neighbour",
}
"""Statistics of graph.json in the order and the words of the report."""


@dataclass(frozen=True)
class GraphFacts:
    """Statistics as (words, value), neighbors of the other splits, and histograms."""

    lines: list[tuple[str, str]]
    splits: list[tuple[str, int, int, float]]
    """(split, mentions, without a training neighbor, neighbors on average)."""
    drawings: list[Drawing]


def graph_facts(paths: DatasetPaths, taus: dict[str, float]) -> GraphFacts | None:
    """Read `graph.json` and `train.npz`; None where there is no graph.

    Args:
        taus: run -> τ at its end; drawn among the similarities.

    Raises:
        MelovError: a file is damaged.
    """
    if not paths.graph.exists():
        return None
    sealed, index = read_graph_index(paths.graph)
    lines = [(words, _number(getattr(index, key))) for key, words in GRAPH_LINES.items()]
    splits = [
        (split, found.mentions, found.without_neighbour, found.mean_neighbours)
        for split, found in index.splits.items()
    ]
    train = load_matrix(sealed, index, "train")
    return GraphFacts(lines, splits, [draw_degrees(train), draw_similarities(train, taus)])


@dataclass(frozen=True)
class PictureFacts:
    """Distinct pictures, those that failed by reason, and records without one by (part, share)."""

    distinct: int
    failed: int
    reasons: list[tuple[str, int]]
    without: list[tuple[str, int, int]]
    """(entities or split, records without a picture's features, all records)."""


def picture_facts(paths: DatasetPaths, records: Records) -> PictureFacts | None:
    """Read extraction's summary; None where there is none.

    Raises:
        MelovError: it is damaged, or of another store than the present one.
    """
    if not paths.extract.exists():
        return None
    command = f"python -m pipeline.extract --dataset {paths.dataset}"
    store = open_store(paths, records.digest) if paths.store.exists() else None
    summary = read_summary(paths.extract, store, command)
    if summary is None:
        path = paths.extract / SUMMARY
        what = f"of another store than {paths.store}" if path.exists() else "missing"
        raise MelovError(f"{path}: {what}", command)
    tables = {**records.mentions, NIL: records.nil}
    totals = {f"mentions/{name}": table.num_rows for name, table in tables.items()}
    totals["entities"] = records.entities.num_rows
    pictures = summary["pictures"]
    return PictureFacts(
        pictures["distinct"],
        pictures["failed"],
        list(pictures["failed_by_reason"].items()),
        [
            (group.removeprefix("mentions/"), count, totals[group])
            for group, count in summary["without_picture"].items()
        ],
    )


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
