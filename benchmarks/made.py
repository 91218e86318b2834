"""A data set of WikiMEL's size and shapes without a single encoder: records, store and graph.

    paths = made_dataset(full)     # data/<dataset>/ below paths.root, through the project's writers
    dataset = Dataset.open(paths)

Features are random with a planted signal (`made_features.py`), so training and ranking do what
they do on real ones. The full store takes 13 GB. It is made in a temporary folder of the current
directory, which goes when the process ends, or once and for all in $MELOV_BENCH_DIR.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.made_features import MadeFeatures, write_store
from cache.errors import MelovError
from cache.fingerprint import Fingerprint
from stages.config import GraphConfig
from stages.datasets.records import (
    ENTITY_SCHEMA,
    MENTION_SCHEMA,
    PICTURE_SCHEMA,
    Records,
    table_from_rows,
)
from stages.datasets.store import open_store, provenance_of
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.paths import SPLITS, DatasetPaths
from stages.runs.dataset import Dataset

FOLDER_VARIABLE = "MELOV_BENCH_DIR"
VERSION = 3
"""Of what this module makes; another one replaces what lies in the folder."""

WITH_PICTURE = 0.95
TOPIC_MENTIONS = 21
"""Training mentions of a topic on average; in the graph they are each other's neighbors."""

PARTS = ("ka", "lo", "mi", "ren", "sa", "tu", "ber", "dan", "os", "vil", "ne", "fra", "go", "hal")
_temporary: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@dataclass(frozen=True)
class Size:
    """Records of a data set."""

    entities: int
    train: int
    valid: int
    test: int


FULL = Size(109_976, 18_092, 2_585, 5_169)  # WikiMEL
QUICK = Size(5_499, 905, 129, 258)  # a twentieth


def made_dataset(full: bool, folder: Path | None = None, size: Size | None = None) -> DatasetPaths:
    """Make the data set, or find it made already; it opens by `Dataset.open`.

    Args:
        full: FULL or QUICK, where `size` does not say something else.
        folder: the project's folder that `data/` goes to; default: $MELOV_BENCH_DIR, else a
            temporary one in the current directory.

    Raises:
        MelovError: the disk is full.
    """
    name = "made" if full else "made-quick"
    if size is None:
        size = FULL if full else QUICK
    else:
        name = "-".join(["made", *map(str, asdict(size).values())])
    root = _folder() if folder is None else Path(folder).resolve()
    paths = DatasetPaths(name, root)
    said = {"version": VERSION, **asdict(size)}
    if not _is_made(paths, said):
        _make(paths, size, said)
    return paths


def _folder() -> Path:
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE]).resolve()
    _temporary.append(tempfile.TemporaryDirectory(prefix=".made-", dir=Path.cwd()))
    return Path(_temporary[-1].name)


def _is_made(paths: DatasetPaths, said: dict[str, int]) -> bool:
    try:
        dataset = Dataset.open(paths)
    except MelovError:
        return False
    return dataset.store.fingerprint.fields.get("made") == said


def _make(paths: DatasetPaths, size: Size, said: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    topics = rng.permutation(size.entities) % max(2, size.train // TOPIC_MENTIONS)
    gold = {s: rng.integers(0, size.entities, getattr(size, s)) for s in SPLITS}
    records = _records(paths.dataset, topics, gold, rng)
    records.save(paths.records)
    features = MadeFeatures.draw(topics, gold, _pictures(records), rng)
    fingerprint = Fingerprint({"records": records.digest, "made": said})
    write_store(paths, fingerprint, records, features)
    source = GraphSource.of(open_store(paths))
    graph = build_graph(source.features, source.pictures, GraphConfig())
    graph.save(paths.graph, provenance_of(open_store(paths)))


def _pictures(records: Records) -> dict[str, np.ndarray]:
    tables = {"entities": records.entities}
    tables |= {f"mentions/{s}": records.mentions[s] for s in SPLITS}
    return {group: table["picture"].to_numpy() for group, table in tables.items()}


def _records(
    dataset: str, topics: np.ndarray, gold: dict[str, np.ndarray], rng: np.random.Generator
) -> Records:
    """Every picture is one record's own, as most are in WikiMEL."""
    picture = iter(range(len(topics) + sum(map(len, gold.values()))))

    def pictures(n: int) -> list[int]:
        return [next(picture) if own else -1 for own in rng.random(n) < WITH_PICTURE]

    syllables = rng.choice(PARTS, (len(topics), 2, 3))
    names = [" ".join("".join(word).title() for word in name) for name in syllables]
    own = zip(names, topics.tolist(), pictures(len(names)), strict=True)
    entities = [
        {
            "id": f"Q{i}",
            "name": name,
            "text": f"topic {topic}",
            "picture": p,
            "pictures": [] if p < 0 else [p],
        }
        for i, (name, topic, p) in enumerate(own)
    ]
    mentions = {}
    for split, rows in gold.items():
        of_split = [
            {
                "id": f"{split}-{i}",
                "words": names[row].split()[0],
                "sentence": f"{names[row]} in topic {topics[row]}",
                "picture": p,
                "answer": f"Q{row}",
                "gold": row,
            }
            for i, (row, p) in enumerate(zip(rows.tolist(), pictures(len(rows)), strict=True))
        ]
        mentions[split] = table_from_rows(of_split, MENTION_SCHEMA)
    files = [
        {"path": f"{i}.jpg", "key": f"{i:032x}", "bytes": 1, "status": "ok"}
        for i in range(next(picture, 0))
    ]
    return Records(
        dataset,
        source="made",
        image_root="",
        text_field="text",
        entities=table_from_rows(entities, ENTITY_SCHEMA),
        mentions=mentions,
        pictures=table_from_rows(files, PICTURE_SCHEMA),
    )
