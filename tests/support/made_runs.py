"""A made-up data set with runs, small enough to check by hand."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from PIL import Image

from cache.sealed import Sealed, digest_of, write_sealed
from stages.ablation.grid import GridRun
from stages.ablation.run import Outcome
from stages.ablation.table import write_tables
from stages.config import GraphConfig, TrainConfig
from stages.datasets.records import (
    ENTITY_SCHEMA,
    MENTION_SCHEMA,
    PICTURE_SCHEMA,
    Records,
    table_from_rows,
)
from stages.paths import DatasetPaths
from stages.ranking.best import BestScores
from stages.ranking.metrics import metrics, metrics_by_part
from stages.runs.folder import MADE_FROM
from stages.runs.predictions import Predicted, predictions_csv

HAND = {
    ("melov", 0): [1, 1, 2, 4, 1, 8],
    ("melov", 1): [1, 1, 1, 5, 1, 2],
    ("mimic", 0): [1, 2, 1, 10, 4, 8],
    ("mimic", 1): [1, 4, 1, 2, 5, 2],
}
"""Ranks of six test mentions by variant and seed."""
KINDS = ["good", "good", "good", "low_value", "low_quality", "missing"]
SEEN = [True, True, True, True, False, False]
ENTITIES = 10


def make_records(
    root: Path, dataset: str, kinds: bool = True, pictures: bool = True, test_bed: bool = False
) -> Records:
    """Six test mentions; mention 3's picture does not decode, mention 5 has none."""
    folder = root / "data" / dataset
    raw = folder / "raw"
    raw.mkdir(parents=True)
    for name, colour in (("mention.png", (200, 40, 40)), ("entity.jpg", (40, 90, 200))):
        Image.new("RGB", (400, 200), colour).save(raw / name)
    (raw / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    place = {"mention.png": 0, "entity.jpg": 1, "broken.jpg": 2, "": -1}

    def picture(name: str) -> int:
        return place[name] if pictures else -1

    names = ["mention.png"] * 3 + ["broken.jpg", "mention.png", ""]
    test = [
        {
            "id": f"t{row}",
            "words": f"Word{row}",
            "sentence": f"Here is word{row} & <more>.",
            "picture": picture(name),
            "answer": f"Q{row}",
            "gold": row,
            "image_kind": KINDS[row] if kinds else None,
        }
        for row, name in enumerate(names)
    ]
    test[0]["sentence"] = "Nothing of it."
    train = [{**test[row], "id": f"r{row}"} for row in range(6) if SEEN[row]]
    records = Records(
        dataset,
        "mimic" if test_bed else "jsonl",
        f"data/{dataset}/raw",
        "attr",
        table_from_rows(
            [
                {
                    "id": f"Q{row}",
                    "name": "<script>alert(1)</script> & Co" if row == 1 else f"Entity {row}",
                    "text": "",
                    "picture": picture("entity.jpg"),
                    "pictures": [],
                }
                for row in range(ENTITIES)
            ],
            ENTITY_SCHEMA,
        ),
        {
            "train": table_from_rows(train, MENTION_SCHEMA),
            "valid": table_from_rows(train[:2], MENTION_SCHEMA),
            "test": table_from_rows(test, MENTION_SCHEMA),
        },
        table_from_rows(
            [
                {"path": n, "key": digest_of(n.encode()), "bytes": 1, "status": "ok"}
                for n in list(place)[:3]
            ]
            if pictures
            else [],
            PICTURE_SCHEMA,
        ),
    )
    records.save(folder / "records")
    (folder / "graph").mkdir()
    # mentions 0-1 at 0.8, 1-2 at 0.4, 3 alone
    train = sp.csr_array(
        [[1, 0.8, 0, 0], [0.8, 1, 0.4, 0], [0, 0.4, 1, 0], [0, 0, 0, 1]], dtype=np.float32
    )
    sp.save_npz(folder / "graph" / "train.npz", train, compressed=False)
    of_test = {"mentions": 6, "entries": 8, "without_neighbour": 2, "mean_neighbours": 1.25}
    of_train = {"mentions": 4, "entries": 8, "without_neighbour": 1, "mean_neighbours": 1.5}
    write_sealed(
        folder / "graph" / "graph.json",
        {
            "layout": 2,
            "n": 4,
            "edges": 3,
            "mean_degree": 1.5,
            "max_degree": 2,
            "isolated": 1,
            "backend": "exact",
            "metric": "kernel",
            "mean_distance": 9.0,
            "bandwidth_sample": 4,
            "bandwidth": 2.25,
            "dot_scale": 1.0,
            "floor": 0.05,
            "max_neighbors": 32,
            "setting": "inductive",
            "splits": {"train": of_train, "test": of_test},
            "config": GraphConfig().model_dump(mode="json"),
            "provenance": {},
        },
        beside=[folder / "graph" / "train.npz"],
    )
    (folder / "extract").mkdir()
    (folder / "extract" / "failed_pictures.csv").write_text("path,reason,records,first_record\n")
    (folder / "extract" / "store.json").write_text("{}")
    write_sealed(
        folder / "extract" / "summary.json",
        {
            "pictures": {
                "distinct": 2 if pictures else 0,
                "failed": int(pictures),
                "failed_by_reason": {"cannot identify image file": 1} if pictures else {},
            },
            "without_picture": {"entities": 0, "mentions/test": 2},
        },
        beside=[folder / "extract" / name for name in ("failed_pictures.csv", "store.json")],
    )
    return records


def make_run(
    root: Path,
    records: Records,
    variant: str,
    seed: int,
    ranks: list[int],
    folder: Path | None = None,
    clean: list[bool] | None = None,
) -> dict[str, Any]:
    """The five files of a run that the report reads; returns the content of metrics.json.

    Args:
        clean: which of the mentions no leak makes easier, of audited records.
    """
    folder = folder or DatasetPaths(records.dataset, root).run(variant, seed)
    kinds = records.mentions["test"]["image_kind"].to_pylist()
    of_clean = None if clean is None else np.array(clean)
    found = metrics_by_part(np.array(ranks), ENTITIES, np.array(SEEN), kinds, of_clean)
    about = {"dataset": records.dataset, "variant": variant, "seed": seed}
    valid = metrics(np.array([1, 2]), ENTITIES)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "ranks.npz",
        test=np.array(ranks, dtype=np.float32),
        valid=np.array([1, 2], dtype=np.float32),
    )
    rows = [
        {"epoch": e, "loss": 3 / e, "loss_e": 2 / e, "loss_g": 1 / e, "valid_mrr": mrr}
        | {"valid_hits@1": mrr - 0.1}
        | ({"tau": 0.5 - e / 100} if variant == "melov" else {})
        for e, mrr in enumerate((0.5, 0.7, 0.6), 1)
    ]
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "model.safetensors").write_bytes(b"no weights")
    config = {"provenance": {"records": records.digest}, "train": {"d_z": 64, "gcn_layers": 2}}
    config["heads"] = {"variant": variant}
    beside = [folder / "history.csv", folder / "model.safetensors"]
    write_sealed(folder / "config.json", {**config, "seed": seed}, beside)
    content = {**about, **found, "valid": valid}
    content[MADE_FROM] = {
        "run": Sealed.read(folder / "config.json").seal, "records": records.digest,
    }  # fmt: skip
    beside = [folder / "ranks.npz"]
    if len(ranks) == records.mentions["test"].num_rows:  # a grid's may be of a larger world
        predicted = {"test": Predicted(_best(records, ranks), np.array(ranks), None, None)}
        (folder / "predictions.csv").write_bytes(predictions_csv(records, predicted))
        beside.append(folder / "predictions.csv")
    write_sealed(folder / "metrics.json", content, beside)
    return content


def _best(records: Records, ranks: list[int]) -> BestScores:
    """All entities of each mention in the order of their rows, but for its own."""
    entities = np.array([
        np.insert(np.delete(np.arange(ENTITIES), gold), rank - 1, gold)
        for gold, rank in zip(records.gold("test"), ranks, strict=True)
    ])  # fmt: skip
    scores = np.tile(10.0 - np.arange(ENTITIES), (len(ranks), 1))
    return BestScores(scores, entities, np.zeros((*scores.shape, 0), "f4"), ())


def make_grid(
    root: Path, name: str, runs: dict[str, tuple[str, dict[str, Any]]], dataset: str = "tiny"
) -> Path:
    """A finished grid, seeds 0 to 2: run -> (variant, its settings by dotted key)."""
    records = Records.load(DatasetPaths(dataset, root).records)
    folder = root / "ablations" / dataset / name
    outcomes = []
    for place, (run, (variant, changed)) in enumerate(runs.items()):
        of_grid = GridRun(run, variant, TrainConfig(), GraphConfig(), changed)
        for seed in range(3):
            ranks = [1, 1, 2, 4, 1 + place, 1 + seed]
            at = folder / f"{run}-s{seed}"
            made = make_run(root, records, variant, seed, ranks, at)
            outcomes.append(Outcome(of_grid, seed, made, np.array(ranks)))
    write_tables(folder, outcomes, outcomes[0].run.name)
    return folder


def make_project(root: Path, dataset: str = "tiny", **options: bool) -> DatasetPaths:
    """Records and the runs of `HAND`."""
    records = make_records(root, dataset, **options)
    for (variant, seed), ranks in HAND.items():
        make_run(root, records, variant, seed, ranks)
    return DatasetPaths(dataset, root)
