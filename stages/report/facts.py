"""What a report tells of the data itself: records, graph, and pictures that failed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cache.errors import MelovError
from stages.datasets.records import Records
from stages.paths import SPLITS, DatasetPaths
from stages.report.pictures import data_uri

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
    """Statistics as (words, value), neighbours of the other splits, and the picture."""

    lines: list[tuple[str, str]]
    splits: list[tuple[str, int, int, float]]
    """(split, mentions, without a training neighbour, neighbours on average)."""
    picture: str
    """A data URI; empty where there is no picture."""


def graph_facts(paths: DatasetPaths) -> GraphFacts:
    """Read `graph.json` and `similarities.png`.

    Raises
    ------
    MelovError: there is no complete graph.
    """
    content = _read_json(paths, "graph")
    lines = [(words, _number(content[key])) for key, words in GRAPH_LINES.items() if key in content]
    splits = [
        (split, found["mentions"], found["without_neighbour"], found["mean_neighbours"])
        for split, found in content["splits"].items()
    ]
    picture = paths.graph / "similarities.png"
    uri = data_uri(picture.read_bytes(), "image/png") if picture.exists() else ""
    return GraphFacts(lines, splits, uri)


@dataclass(frozen=True)
class PictureFacts:
    """Distinct pictures, those that failed by reason, and records without one by (part, share)."""

    distinct: int
    failed: int
    reasons: list[tuple[str, int]]
    without: list[tuple[str, int, int]]
    """(entities or split, records without a picture's features, all records)."""


def picture_facts(paths: DatasetPaths, records: Records) -> PictureFacts:
    """Read extraction's summary.

    Raises
    ------
    MelovError: there is none.
    """
    summary = _read_json(paths, "extract")
    totals = {"entities": records.entities.num_rows} | {
        f"mentions/{split}": records.mentions[split].num_rows for split in SPLITS
    }
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


def _read_json(paths: DatasetPaths, step: str) -> dict[str, Any]:
    path = {"graph": paths.graph / "graph.json", "extract": paths.extract / "summary.json"}[step]
    command = f"python -m pipeline.{step} --dataset {paths.dataset}"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise MelovError(f"{path}: no such file", command) from None
    except ValueError as error:
        raise MelovError(f"{path}: not readable: {error}", command) from None
    return content


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
