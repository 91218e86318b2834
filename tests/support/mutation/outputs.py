"""What the commands write, and their readers: damaged as a disk does it, which the checksums must
tell; and written anew under right checksums, as a buggy or hostile writer would."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import torch
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from cache.build import building
from cache.check import expected_nodes
from cache.checksum import crc32
from cache.exchange import BLOCK, _seal, export_hdf5, load_hdf5
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.metadata import LEDGER_KEY, group_text, store_text
from cache.reader import FeatureStore
from cache.sealed import SEAL, digest_of
from stages.config import EvaluateConfig, ExtractConfig
from stages.datasets.pictures import KeyCache
from stages.datasets.records import Records, read_digest
from stages.datasets.store import open_store
from stages.encode.record_arrays.registry import RECORD_ARRAYS, open_record_array
from stages.features.batches import GraphReading, MentionInputs
from stages.features.cached import ENCODED, CachedFeatures
from stages.features.views import distinct_views
from stages.graph.source import GraphSource
from stages.linking.bundle.open import open_bundle
from stages.linking.mention import NewMention
from stages.paths import SPLITS, DatasetPaths
from stages.ranking.rank import Wanted, rank_all
from stages.ranking.search import open_ranked
from stages.report.facts import graph_facts, picture_facts
from stages.report.figures import curves
from stages.report.grids import load_grids
from stages.report.load_results import load_results
from stages.report.probability import probability_facts
from stages.report.sheets import (
    grid_sheet,
    others_sheet,
    parts_sheet,
    picture_sheets,
    results_sheet,
)
from stages.report.sweeps import draw_sweep, find_sweeps
from stages.report.table import csv_report, markdown_report, text_report
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from stages.training.checkpoint import CHECKSUM_BYTES, _checksum
from stages.training.train import train
from tests.support.mutation.damage import (
    BINARY_TOKENS,
    JSON_TOKENS,
    changed_array,
    changed_value,
    damaged,
    damaged_json,
)
from tests.support.mutation.trials import Change
from tests.support.resealed import reseal
from tests.support.small_runs import run_data, small
from tests.support.small_stores import build as build_small

MEBIBYTE = 2**20
CPU = torch.device("cpu")
READS = ENCODED | RECORD_ARRAYS.keys()


def torn(random: Random, folder: Path, names: list[str]) -> Change:
    """Damage bytes of a file that a checksum covers."""
    name = random.choice(names)
    path = folder / name
    tokens = JSON_TOKENS if name.endswith(".json") else BINARY_TOKENS
    data, what = path.read_bytes(), ""
    if name.endswith(".json") and random.random() < 0.3:
        data, what = damaged_json(random, data)
    else:
        data, what = damaged(random, data, tokens)
    path.write_bytes(data)
    return Change((name,), f"{name}: {what}", sealed=True)


def resealed(
    random: Random, folder: Path, index: str, files: list[str],
    structured: Callable[[Random, Path], str],
) -> Change:  # fmt: skip
    """Write an index file anew with other content, or a file that it vouches for, under right
    checksums.

    Args:
        structured: changes a file in its own terms; what it did.
    """
    way = random.choice(("content", "bytes", "structured", "structured"))
    name = index if way == "content" else random.choice(files)
    path = folder / name
    if way == "content":
        what = ""

        def change(content: Any) -> Any:
            nonlocal what
            content, what = changed_value(random, content)
            return content

        reseal(folder / index, change)
    else:
        if way == "bytes":
            data, what = damaged(random, path.read_bytes())
            path.write_bytes(data)
        else:
            what = structured(random, path)
        reseal(folder / index)
    return Change((name, index), f"{name}: {what}, resealed", sealed=False)


def changed_parquet(random: Random, path: Path) -> str:
    """Columns of other types, values, names; rows lost."""
    table = pq.read_table(path)
    column = random.randrange(table.num_columns)
    name = table.column_names[column]
    way = random.choice(
        (
            "value",
            "value",
            "value",
            "null",
            "lose",
            "type",
            "drop",
            "rows",
            "more",
            "twice",
            "rename",
        )
    )
    values = table[name].to_pylist()
    if way == "value" and values:
        odd: list[Any] = ["", "x", "\0", "é" * 70_000]
        if pa.types.is_floating(table[name].type):
            odd = [float("nan"), float("inf"), -1.0, 0.0, 2.0]
        if pa.types.is_integer(table[name].type):
            odd = [-1, -2, 0, 2**31 - 1, -(2**31), 7]
        elif pa.types.is_list(table[name].type):
            odd = [[], [-1], [2**31 - 1], [0] * 1000, None]
        for _ in range(random.choice((1, 1, 5))):
            values[random.randrange(len(values))] = random.choice(odd)
        with contextlib.suppress(pa.ArrowException, OverflowError):  # not of this type
            table = table.set_column(column, name, pa.array(values, table[name].type))
    elif way == "null" and values:
        values[random.randrange(len(values))] = None
        table = table.set_column(column, name, pa.array(values, table[name].type))
    elif way == "type":
        kind = random.choice((pa.float64(), pa.string(), pa.binary(), pa.int64(), pa.bool_()))
        with contextlib.suppress(pa.ArrowException):
            table = table.set_column(column, name, pa.array([None] * len(values), kind))
    elif way in ("drop", "lose"):
        table = table.drop_columns([name])
    elif way == "rows":
        table = table.slice(random.randint(0, table.num_rows), random.randint(0, 3))
    elif way == "more":
        table = pa.concat_tables([table, table])
    elif way == "twice":
        table = table.append_column(name, table[name])
    elif way == "rename":
        table = table.rename_columns(
            [*table.column_names[:column], "x", *table.column_names[column + 1 :]]
        )
    pq.write_table(table, path)
    return f"parquet {name} {way}"


def changed_npz(random: Random, path: Path) -> str:
    """Arrays of other numbers, shapes and types; arrays lost, added, renamed."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = random.choice(sorted(arrays))
    way = random.choice(("array", "array", "array", "array", "drop", "add", "rename", "object"))
    what = way
    if way == "array":
        arrays[name], what = changed_array(random, arrays[name])
    elif way == "drop":
        del arrays[name]
    elif way == "add":
        arrays["more"] = np.zeros(3)
    elif way == "rename":
        arrays[f"{name}x"] = arrays.pop(name)
    else:
        arrays[name] = np.array([{}, None], dtype=object)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    path.write_bytes(file.getvalue())
    return f"npz {name} {what}"


def changed_tensors(random: Random, path: Path) -> str:
    """Weights of other numbers, shapes and types; weights lost, added, renamed."""
    arrays = load_tensors(path.read_bytes())
    name = random.choice(sorted(arrays))
    way = random.choice(("array", "array", "array", "drop", "add", "rename"))
    what = way
    if way == "array":
        changed, what = changed_array(random, arrays[name])
        if changed.dtype.kind in "fiub" and changed.dtype.byteorder in "=|":
            arrays[name] = np.ascontiguousarray(changed)
    elif way == "drop":
        del arrays[name]
    elif way == "add":
        arrays["more"] = np.zeros(3, np.float32)
    else:
        arrays[f"{name}x"] = arrays.pop(name)
    path.write_bytes(save_tensors(arrays))
    return f"tensors {name} {what}"


def content_of(value: Any) -> Any:
    """Something that == compares, NaN like NaN."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, digest_of(np.ascontiguousarray(value).tobytes()))
    if isinstance(value, sp.csr_array):
        return (value.shape, *map(content_of, (value.data, value.indices, value.indptr)))
    if isinstance(value, pa.Table):
        return (value.schema.to_string(), repr(value.to_pydict()))
    if isinstance(value, dict):
        return {key: content_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [content_of(inner) for inner in value]
    return value


# Records


@dataclass(frozen=True)
class RecordFiles:
    """records.json and the tables that it vouches for."""

    name: str = "records"
    most_bytes: int = 100 * MEBIBYTE
    tables: tuple[str, ...] = (
        "entities.parquet", "pictures.parquet", *(f"mentions-{split}.parquet" for split in SPLITS)
    )  # fmt: skip

    def make(self, world: Path, folder: Path) -> None:
        shutil.copytree(world / "data/tiny/records", folder / "tiny/records")

    def change(self, random: Random, folder: Path) -> Change:
        names = [f"tiny/records/{name}" for name in self.tables]
        index = "tiny/records/records.json"
        if random.random() < 0.5:
            return torn(random, folder, [*names, index])
        return resealed(random, folder, index, names, changed_parquet)

    def read(self, folder: Path) -> Any:
        records = Records.load(folder / "tiny/records")
        n, k = records.entities.num_rows, records.pictures.num_rows
        for table in (records.entities, *records.mentions.values()):
            pictures = table["picture"].to_pylist()
            assert all(-1 <= row < k for row in pictures), "a picture's row"
            assert None not in table["id"].to_pylist(), "an id"
        for split in SPLITS:
            gold = records.gold(split)
            assert gold.dtype == np.int32
            assert ((gold >= 0) & (gold < n)).all(), "a gold row"
        assert all(isinstance(t, str) for t in records.entities["text"].to_pylist()), "a text"
        assert isinstance(records.test_bed, bool)
        for name in ("dataset", "source", "image_root", "text_field"):
            assert isinstance(getattr(records, name), str), name
        tables = (records.entities, records.mentions, records.pictures)
        return content_of([*tables, records.dataset, records.image_root, records.digest])


# Stores


def store_files(store: Path, folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in store.rglob("*") if p.is_file())


def reseal_store(store: Path, change: Callable[[Any], Any]) -> None:
    """Write a store's ledger anew, with a right seal."""
    node = json.loads((store / "zarr.json").read_text())
    ledger = node["attributes"][LEDGER_KEY]
    del ledger[SEAL]
    changed = change(ledger)
    is_ledger = isinstance(changed, dict)
    text = store_text(changed) if is_ledger else group_text({LEDGER_KEY: changed})
    (store / "zarr.json").write_text(text, encoding="utf-8")


def changed_store(random: Random, folder: Path, store: str) -> Change:
    """A ledger of other content, or rows of other numbers, under right checksums."""
    path, what = folder / store, ""
    if random.random() < 0.4:

        def change(ledger: Any) -> Any:
            nonlocal what
            ledger, what = changed_value(random, ledger)
            return ledger

        reseal_store(path, change)
        return Change((f"{store}/zarr.json",), f"{store}: ledger {what}, resealed", sealed=False)
    opened = FeatureStore.open(path)
    spec = opened.specs[random.choice([n for n in opened if opened.specs[n].n_chunks])]
    number = random.randrange(spec.n_chunks)
    rows = np.array(opened[spec.name].chunks.chunk(number))
    changed, what = changed_array(random, rows, shape=False)
    data = np.ascontiguousarray(changed).tobytes()
    file = f"{store}/{spec.key(number)}"
    (folder / file).write_bytes(data.ljust(spec.chunk_bytes, b"\0"))

    def with_crc(ledger: Any) -> Any:
        ledger["arrays"][spec.name]["crc32"][number] = f"{crc32(np.frombuffer(data, np.uint8)):08x}"
        return ledger

    reseal_store(path, with_crc)
    return Change((file, f"{store}/zarr.json"), f"{spec.name}: {what}, resealed", sealed=False)


STORE = "data/tiny/features.zarr"


def read_store(root: Path) -> Any:
    """Everything of a feature store, by the readers that runs use."""
    store = open_store(DatasetPaths("tiny", root))
    store.verify()
    cached = CachedFeatures(store, READS, CPU)
    GraphSource.of(store)
    for name in RECORD_ARRAYS:
        array = open_record_array(store, name, ExtractConfig(), "")
        array.of_mentions(["Ada of"], ["the river"])
    views = distinct_views(cached)
    assert views.of_entity.shape == (len(cached.text_rows["entities"]),)
    rows = np.arange(len(views.of_entity))
    features = [cached.entities(rows)]
    features += [cached.mentions(split, np.arange(cached.n_mentions(split))) for split in SPLITS]
    for batch in features:
        assert batch.text_global.shape[1] == store.attributes["shapes"]["d_t"]
        assert batch.text_local.shape[2] == store.attributes["shapes"]["d_local"]
        for name, matrix in batch.arrays.items():
            assert isinstance(matrix, sp.csr_array), name
            (matrix @ np.ones((matrix.shape[1], 1), np.float32)).sum()
    return [
        store.identity, store.fingerprint.fields, store.attributes,
        {name: content_of(np.array(store[name].slice(0, len(store[name])))) for name in store},
    ]  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A finished store, as runs read it."""

    name: str = "store"
    most_bytes: int = 300 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        keep_world(world, folder, "data/tiny/records", "data/tiny/features.zarr")

    def change(self, random: Random, folder: Path) -> Change:
        if random.random() < 0.5:
            names = store_files(folder / STORE, folder)
            nodes = [name for name in names if name.endswith(".json")]
            return torn(
                random, folder, random.choice((names, names, nodes, [f"{STORE}/zarr.json"]))
            )
        return changed_store(random, folder, STORE)

    def read(self, folder: Path) -> Any:
        return read_store(folder)


@dataclass(frozen=True)
class WorkFolder:
    """A store half built, that the next process resumes."""

    name: str = "work folder"
    most_bytes: int = 100 * MEBIBYTE
    writes: bool = True

    def make(self, world: Path, folder: Path) -> None:
        with self._opened(folder) as one:
            for name, parts in _units()[:3]:
                one.write(name, parts, note={"unit": name})

    def change(self, random: Random, folder: Path) -> Change:
        names = store_files(folder / "partial", folder)
        ledger = next(name for name in names if name.endswith(".jsonl"))
        if random.random() < 0.7:
            metadata = [name for name in names if not name.rpartition("/")[2].startswith("c.")]
            return torn(random, folder, random.choice((names, metadata, [ledger])))
        lines = [line for line in (folder / ledger).read_bytes().split(b"\n") if line]
        at = random.randrange(len(lines))
        content, what = changed_value(random, json.loads(lines[at][9:]))
        said = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
        lines[at] = b"%08x %s" % (crc32(np.frombuffer(said, np.uint8)), said)
        (folder / ledger).write_bytes(b"\n" + b"\n\n".join(lines) + b"\n")
        return Change((ledger,), f"{ledger}: {what}, with its CRC", sealed=False)

    def read(self, folder: Path) -> Any:
        units = _units()
        with self._opened(folder) as one:
            for name, parts in units:
                if not one.done(name):
                    one.write(name, parts, note={"unit": name})
            names = [name for name, _ in units]
            one.finish(names, {"notes": [one.note(name) for name in names]})
        store = FeatureStore.open(folder / "store.zarr")
        for name, rows in ARRAYS.items():
            assert np.array_equal(store[name].slice(0, len(rows)), rows), name
        for name, text in expected_nodes(store).items():
            assert (folder / "store.zarr" / name).read_bytes() == text.encode(), name
        return store.attributes

    def _opened(self, folder: Path) -> Any:
        specs = [ArraySpec(name, rows.shape, rows.dtype.name, 4) for name, rows in ARRAYS.items()]
        fingerprint = Fingerprint({"encoder": "tiny"})
        return building(folder / "store.zarr", folder / "partial", "work", fingerprint, specs)


ARRAYS = {
    "texts/global": np.arange(60, dtype=np.float16).reshape(12, 5),
    "texts/local": np.arange(33, dtype=np.float16).reshape(11, 3),
    "ids": np.arange(7, dtype=np.uint8),
    "none": np.zeros((0, 4), np.float32),
}


def _units() -> list[tuple[str, list[tuple[str, int, np.ndarray]]]]:
    return [
        (
            f"rows:{lo}",
            [(name, lo, rows[lo : lo + 4]) for name, rows in ARRAYS.items() if lo < len(rows)],
        )
        for lo in range(0, 12, 4)
    ] + [("none:0", [("none", 0, ARRAYS["none"])])]


# What runs read besides


@cache
def opened(world: str) -> tuple[Dataset, Run]:
    """The world's data set and its run, once a process."""
    paths = DatasetPaths("tiny", Path(world))
    dataset = Dataset.open(paths)
    run = Run.open(RunFolder.of(paths, "melov", 0), CPU)
    run.data(dataset)
    return dataset, run


def keep_world(world: Path, folder: Path, *parts: str) -> None:
    """Copy parts of the world, and remember where it is."""
    for part in parts:
        shutil.copytree(world / part, folder / part)
    (folder / "world").write_text(str(world))


def world_of(folder: Path) -> tuple[Dataset, Run]:
    return opened((folder / "world").read_text())


@dataclass(frozen=True)
class GraphFiles:
    """The matrices of similarities, as runs and the linker read them."""

    name: str = "graph"
    most_bytes: int = 200 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        keep_world(world, folder, "data/tiny/graph", "data/tiny/records", "data/tiny/features.zarr")

    def change(self, random: Random, folder: Path) -> Change:
        index = "data/tiny/graph/graph.json"
        names = [f"data/tiny/graph/{split}.npz" for split in SPLITS]
        if random.random() < 0.4:
            return torn(random, folder, [*names, index])
        return resealed(random, folder, index, names, changed_npz)

    def read(self, folder: Path) -> Any:
        dataset = Dataset.open(DatasetPaths("tiny", folder))
        world, run = world_of(folder)
        graph = dataset.graph
        cached, _ = world.features("melov", run.info.heads.reads, CPU)
        graphs = {split: graph.rows(split) for split in SPLITS}
        inputs = MentionInputs(cached, graphs, GraphReading(2, 4, degrees=True))
        for split in SPLITS:
            batch = inputs.batch(split, np.arange(min(8, cached.n_mentions(split))))
            assert batch.neighborhood is not None
            for block in batch.neighborhood.blocks:
                assert bool(torch.isfinite(block.weights).all())
        assert np.isfinite(graph.metric.weigh(np.array([-1.0, 0.0]))).all()
        facts = graph_facts(DatasetPaths("tiny", folder), {"melov": 0.2})
        return [content_of(graphs), graph.config, graph.stats, graph.identity, facts]


_MADE: dict[str, str] = {}


def _once(key: str, make: Callable[[], str]) -> str:
    """What was made of this content before in this process: drawing takes most of a trial, and most
    mutations leave alone what is drawn."""
    if key not in _MADE:
        _MADE[key] = make()
    return _MADE[key]


@dataclass(frozen=True)
class ResultFiles:
    """A run's metrics, ranks and course, as the report reads them."""

    name: str = "results"
    most_bytes: int = 200 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        keep_world(world, folder, "runs/tiny/melov-s0", "runs/tiny/mimic-s0", "data/tiny/records")

    def change(self, random: Random, folder: Path) -> Change:
        run = "runs/tiny/melov-s0"
        if random.random() < 0.4:
            names = (
                "config.json", "metrics.json", "ranks.npz", "probabilities.npz", "predictions.csv",
                "history.csv",
            )  # fmt: skip
            return torn(random, folder, [f"{run}/{name}" for name in names])
        if random.random() < 0.6:
            arrays = random.choice(("ranks.npz", "probabilities.npz"))
            return resealed(random, folder, f"{run}/metrics.json", [f"{run}/{arrays}"], changed_npz)
        change = resealed(
            random, folder, f"{run}/config.json", [f"{run}/history.csv"], changed_history
        )
        # The metrics are of this very config.json, as far as they say.
        seal = json.loads((folder / run / "config.json").read_text())[SEAL]
        reseal(
            folder / run / "metrics.json",
            lambda c: {**c, "made_from": {**c["made_from"], "run": seal}},
        )
        return Change((*change.files, f"{run}/metrics.json"), change.what, change.sealed)

    def read(self, folder: Path) -> Any:
        dataset, _ = world_of(folder)
        paths = DatasetPaths("tiny", folder)
        results = load_results(paths, ("melov", "mimic"), (0,), dataset.records)
        tables = [text_report(results), markdown_report(results), csv_report(results)]
        sheets = [parts_sheet(results), results_sheet(results), others_sheet(results)]
        runs = list(results.runs.values())
        _once(repr([run.history for run in runs]), lambda: repr(curves(results)))
        for run in results.runs.values():
            assert run.ranks.shape == (dataset.records.mentions["test"].num_rows,)
            assert np.isfinite(run.ranks).all()
            assert ((run.ranks >= 1) & (run.ranks <= dataset.records.entities.num_rows)).all()
        answers = [content_of(vars(run.answers)) if run.answers else None for run in runs]
        drawn_from = repr([[run.probability for run in runs], answers])
        facts = _once(drawn_from, lambda: repr(probability_facts(results)))
        "".join(tables).encode()
        return [tables, repr(sheets), facts, repr(results.runs["melov", 0].history)]


def changed_history(random: Random, path: Path) -> str:
    lines = path.read_text().splitlines()
    way = random.choice(("cell", "cell", "line", "column", "none"))
    if way == "cell":
        at = random.randrange(len(lines))
        cells = lines[at].split(",")
        cells[random.randrange(len(cells))] = random.choice(
            ("", "nan", "inf", "-1", "x", "1e999", "1_0", '"')
        )
        lines[at] = ",".join(cells)
    elif way == "line":
        del lines[random.randrange(len(lines))]
    elif way == "column":
        lines = [line.rpartition(",")[0] for line in lines]
    else:
        lines = []
    path.write_text("\n".join(lines))
    return f"history {way}"


@dataclass(frozen=True)
class GridFiles:
    """A finished grid's tables and runs, as the report reads them."""

    name: str = "grid results"
    most_bytes: int = 200 * MEBIBYTE
    grid: str = "ablations/tiny/grid"

    def make(self, world: Path, folder: Path) -> None:
        keep_world(world, folder, self.grid, "data/tiny/records")

    def change(self, random: Random, folder: Path) -> Change:
        run = f"{self.grid}/melov-s0"
        if random.random() < 0.5:
            names = [f"{run}/{name}" for name in ("config.json", "metrics.json", "history.csv")]
            return torn(
                random,
                folder,
                [*names, *[f"{self.grid}/{n}" for n in ("tables.json", "runs.parquet")] * 2],
            )
        if random.random() < 0.7:
            index = f"{self.grid}/tables.json"
            return resealed(random, folder, index, [f"{self.grid}/runs.parquet"], changed_parquet)
        return resealed(random, folder, f"{run}/metrics.json", [f"{run}/ranks.npz"], changed_npz)

    def read(self, folder: Path) -> Any:
        paths = DatasetPaths("tiny", folder)
        grids = load_grids(paths, read_digest(paths.records))
        found = []
        for grid in grids.finished:
            found += [repr(grid_sheet(grid)), repr(parts_sheet(grid.results))]
            found += [draw_sweep(grid, sweep, "x") for sweep in find_sweeps(grid)]
        return [repr(found), grids.left_out]


@dataclass(frozen=True)
class RunFiles:
    """A run's configuration and weights, and ranks by them."""

    name: str = "run"
    most_bytes: int = 300 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        keep_world(world, folder, "runs/tiny/melov-s0")

    def change(self, random: Random, folder: Path) -> Change:
        run = "runs/tiny/melov-s0"
        config, weights, training = (
            f"{run}/{name}" for name in ("config.json", "model.safetensors", "training.npz")
        )
        if random.random() < 0.4:
            return torn(random, folder, [config, weights, training])
        if random.random() < 0.4:
            return resealed(random, folder, config, [training], changed_npz)
        return resealed(random, folder, config, [weights], changed_tensors)

    def read(self, folder: Path) -> Any:
        dataset, _ = world_of(folder)
        run = Run.open(RunFolder.of(DatasetPaths("tiny", folder), "melov", 0), CPU)
        data = run.data(dataset)
        rows = np.arange(4)
        wanted = [Wanted("test", rows, data.gold["test"][rows])]
        ranks = rank_all(run.model, data.inputs, data.views, wanted, EvaluateConfig())[0]
        n = dataset.records.entities.num_rows
        assert ((ranks >= 1) & (ranks <= n)).all()
        state = {name: content_of(w.numpy()) for name, w in run.model.state_dict().items()}
        return [run.info, state, ranks.tolist(), run.identity]


@dataclass(frozen=True)
class Index:
    """The entities' side that `link` keeps."""

    name: str = "index"
    most_bytes: int = 300 * MEBIBYTE
    writes: bool = True

    def make(self, world: Path, folder: Path) -> None:
        shutil.copytree(world / "indexes/tiny/melov-s0", folder / "index")
        (folder / "world").write_text(str(world))

    def change(self, random: Random, folder: Path) -> Change:
        piece = next((folder / "index").glob("*.zarr")).relative_to(folder).as_posix()
        if random.random() < 0.4:
            return torn(random, folder, store_files(folder / piece, folder))
        return changed_store(random, folder, piece)

    def read(self, folder: Path) -> Any:
        dataset, run = world_of(folder)
        cached, views = dataset.features("melov", run.info.heads.reads, CPU)
        data = run.data(dataset)
        size = EvaluateConfig().entity_rows
        with torch.inference_mode():
            ranked = open_ranked(folder / "index", run.identity, run.model, cached, views, size)
            side, _ = run.model.mentions(data.inputs.batch("test", np.arange(3)))
            found = ranked.top([side], 5)
        for best in found:
            assert len(best) == 5
            assert np.isfinite([one.score for one in best]).all()
        return found


@dataclass(frozen=True)
class Bundle:
    """One folder with all that links."""

    name: str = "bundle"
    most_bytes: int = 300 * MEBIBYTE
    stores: tuple[str, ...] = (
        "entities.zarr", "training.zarr", "sides/*.zarr", "codes/*.zarr",
    )  # fmt: skip
    tables: tuple[tuple[str, str, Callable[[Random, Path], str]], ...] = (
        ("bundle.json", "entities.parquet", changed_parquet),
        ("config.json", "model.safetensors", changed_tensors),
        ("config.json", "training.npz", changed_npz),
        ("metrics.json", "probabilities.npz", changed_npz),
    )
    """What vouches for a file, the file, and what changes it."""

    def make(self, world: Path, folder: Path) -> None:
        shutil.copytree(world / "bundle", folder / "bundle")

    def change(self, random: Random, folder: Path) -> Change:
        root = folder / "bundle"
        if random.random() < 0.4:
            names = store_files(root, folder)
            return torn(random, folder, [n for n in names if n != "bundle/README.md"])
        if random.random() < 0.5:
            found = [path for name in self.stores for path in sorted(root.glob(name))]
            store = random.choice(found).relative_to(root).as_posix()
            change = changed_store(random, root, store)
        else:
            index, name, structured = random.choice(self.tables)
            change = resealed(random, root, index, [name], structured)
        reseal(root / "bundle.json")  # which vouches for all of them
        files = {*change.files, "bundle.json"}
        return Change(tuple(f"bundle/{name}" for name in files), change.what, sealed=False)

    def read(self, folder: Path) -> Any:
        linker = open_bundle(folder / "bundle", ExtractConfig(device="cpu"), EvaluateConfig())
        found = list(linker.link([NewMention("Ada", "Ada of the river")], 5))
        for one in found:
            assert len(one.entities) == 5
            assert np.isfinite([entity.score for entity in one.entities]).all()
        return [one.to_dict() for one in found]


@dataclass(frozen=True)
class Exchange:
    """One HDF5 file, as `load` reads it."""

    name: str = "hdf5"
    most_bytes: int = 300 * MEBIBYTE
    writes: bool = True

    def make(self, world: Path, folder: Path) -> None:
        build_small(folder / "partial", folder / "small.zarr")
        export_hdf5(folder / "small.zarr", folder / "store.h5")

    def change(self, random: Random, folder: Path) -> Change:
        path = folder / "store.h5"
        if random.random() < 0.3:
            return torn(random, folder, ["store.h5"])
        data = path.read_bytes()
        if random.random() < 0.5:
            body, what = damaged(random, data[BLOCK:])
            path.write_bytes(data[:BLOCK] + body)
        else:
            what = _changed_hdf5(random, path)
        with path.open("r+b") as raw:
            seal = _seal(raw)
            raw.seek(0)
            raw.write(seal)
        return Change(("store.h5",), f"store.h5: {what}, with its CRC", sealed=False)

    def read(self, folder: Path) -> Any:
        load_hdf5(folder / "store.h5", folder / "loaded.zarr")
        store = FeatureStore.open(folder / "loaded.zarr")
        store.verify()
        return [
            store.attributes,
            {name: content_of(store[name].slice(0, len(store[name]))) for name in store},
        ]


def _changed_hdf5(random: Random, path: Path) -> str:
    """Links, layouts, types and contents that `export` never writes."""
    with h5py.File(path, "r+") as file:
        name = random.choice(("texts/global", "texts/local", "ids", "wide", "entities/flags"))
        rows = file[name][()]
        way = random.choice((
            "soft link", "loop", "external", "virtual", "huge", "chunked", "type", "values",
            "group", "gone", "ledger", "ledger", "ledger text", "extra", "strings", "compound",
            "external rows", "hard loop",
        ))  # fmt: skip
        if way.startswith("ledger"):
            text = file.attrs[LEDGER_KEY]
            if way == "ledger":
                node = json.loads(text)
                ledger = node["attributes"][LEDGER_KEY]
                del ledger[SEAL]
                ledger, what = changed_value(random, ledger)
                text = store_text(ledger) if isinstance(ledger, dict) else "null"
            else:
                text, what = damaged_json(random, text.encode())
            file.attrs.modify(LEDGER_KEY, np.bytes_(text) if isinstance(text, bytes) else text)
            return f"{way} {what}"
        if way == "extra":
            file["more/of it"] = rows
            return way
        del file[name]
        if way == "soft link":
            file[name] = h5py.SoftLink(f"/{'wide' if name == 'ids' else 'ids'}")
        elif way == "loop":
            file[name] = h5py.SoftLink(f"/{name}")
        elif way == "hard loop":
            file[name] = file["/"]
        elif way == "external":
            file[name] = h5py.ExternalLink(
                random.choice(("/dev/zero", "gone.h5", path.name)), "/ids"
            )
        elif way == "virtual":
            layout = h5py.VirtualLayout(rows.shape, rows.dtype)
            layout[...] = h5py.VirtualSource(random.choice((".", "gone.h5")), "ids", rows.shape)
            file.create_virtual_dataset(name, layout)
        elif way == "huge":
            file.create_dataset(
                name, (2**40, *rows.shape[1:]), rows.dtype, chunks=(4, *rows.shape[1:])
            )
        elif way == "chunked":
            file.create_dataset(name, data=rows, chunks=True, compression="gzip", shuffle=True)
        elif way == "type":
            file.create_dataset(name, data=rows.astype(random.choice(("f8", "i1", "S5", ">f4"))))
        elif way == "values":
            file.create_dataset(name, data=changed_array(random, rows, shape=False)[0])
        elif way == "group":
            file.create_group(name)
        elif way == "strings":
            file.create_dataset(name, data=["x"] * len(rows), dtype=h5py.string_dtype())
        elif way == "compound":
            file.create_dataset(name, data=np.zeros(len(rows), [("a", "f4"), ("b", "O")][:1]))
        elif way == "external rows":
            file.create_dataset(
                name, rows.shape, rows.dtype, external=[("/etc/hostname", 0, max(1, rows.nbytes))]
            )
    return way


@dataclass(frozen=True)
class Summary:
    """Extraction's summary with the list of failed pictures."""

    name: str = "summary"
    most_bytes: int = 100 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        keep_world(
            world, folder, "data/tiny/extract", "data/tiny/records", "data/tiny/features.zarr"
        )

    def change(self, random: Random, folder: Path) -> Change:
        index = "data/tiny/extract/summary.json"
        names = [f"data/tiny/extract/{name}" for name in ("failed_pictures.csv", "store.json")]
        if random.random() < 0.5:
            return torn(random, folder, [*names, index, index])
        return resealed(random, folder, index, names, lambda r, p: _bytes_again(r, p))

    def read(self, folder: Path) -> Any:
        dataset, _ = world_of(folder)
        facts = picture_facts(DatasetPaths("tiny", folder), dataset.records)
        assert facts is not None
        repr(picture_sheets(facts, dataset.records))
        return facts


def _bytes_again(random: Random, path: Path) -> str:
    data, what = damaged(random, path.read_bytes())
    path.write_bytes(data)
    return what


@dataclass(frozen=True)
class Keys:
    """The cache of pictures' hashes: a damaged one is made again, and decides no result."""

    name: str = "picture keys"
    most_bytes: int = 100 * MEBIBYTE

    def make(self, world: Path, folder: Path) -> None:
        for i in range(3):
            (folder / f"{i}.png").write_bytes(bytes(range(i + 1)))
            os.utime(folder / f"{i}.png", (1e9, 1e9))
        file = io.BytesIO()
        columns = [[str(folder / "gone.png")], [1], [2], [3], [4], ["00"]]
        pq.write_table(pa.table(columns, schema=KeyCache.SCHEMA), file)
        content = file.getvalue()
        (folder / "keys").write_bytes(digest_of(content).encode() + content)

    def change(self, random: Random, folder: Path) -> Change:
        if random.random() < 0.5:
            return torn(random, folder, ["keys"])
        path = folder / "keys"
        path.write_bytes(path.read_bytes()[32:])
        what = (
            changed_parquet(random, path) if random.random() < 0.5 else _bytes_again(random, path)
        )
        content = path.read_bytes()
        path.write_bytes(digest_of(content).encode() + content)
        return Change(("keys",), f"keys: {what}, with its checksum", sealed=False)

    def read(self, folder: Path) -> Any:
        keys = KeyCache(folder / "keys")
        return [
            keys.digest(str(folder / f"{i}.png"), (folder / f"{i}.png").stat()) for i in range(3)
        ]


@dataclass(frozen=True)
class TrainingState:
    """What a killed training left."""

    name: str = "training state"
    most_bytes: int = 300 * MEBIBYTE
    writes: bool = True

    def make(self, world: Path, folder: Path) -> None:
        (folder / "world").write_text(str(world))
        self._trained(folder, epochs=1)

    def change(self, random: Random, folder: Path) -> Change:
        name = store_files(folder / "work", folder)[0]
        path = folder / name
        if random.random() < 0.5:
            return torn(random, folder, [name])
        state = torch.load(io.BytesIO(path.read_bytes()[CHECKSUM_BYTES:]), weights_only=True)
        if random.random() < 0.3:
            data, what = damaged(random, path.read_bytes()[CHECKSUM_BYTES:])
        else:
            key = random.choice(sorted(state))
            way = random.choice(("drop", "value", "add"))
            if way == "drop":
                del state[key]
            elif way == "add":
                state["more"] = 1
            elif isinstance(state[key], dict) and state[key] and random.random() < 0.7:
                inner = random.choice(sorted(state[key]))
                state[key][inner] = random.choice((torch.zeros(2), None, [], 7))
            else:
                state[key] = random.choice((None, -1, 10**9, "x", [], {}, torch.zeros(3), [{}]))
            what, file = f"{key} {way}", io.BytesIO()
            torch.save(state, file)
            data = file.getvalue()
        path.write_bytes(_checksum(data) + data)
        return Change((name,), f"{name}: {what}, with its checksum", sealed=False)

    def read(self, folder: Path) -> Any:
        trained = self._trained(folder, epochs=1)
        for name, weight in trained.state.items():
            assert bool(torch.isfinite(weight).all()), name
        assert [row["epoch"] for row in trained.history] == [0, 1]
        return [
            {n: content_of(w.numpy()) for n, w in trained.state.items()},
            trained.history,
            trained.best_epoch,
        ]

    def _trained(self, folder: Path, epochs: int) -> Any:
        dataset, _ = world_of(folder)
        config = small(epochs=epochs)
        data, heads = run_data(dataset, config, "melov")
        return train(data, heads, config.settled("melov"), EvaluateConfig(), 0, folder / "work")


SUBJECTS = [
    RecordFiles(), Store(), WorkFolder(), GraphFiles(), ResultFiles(), GridFiles(), RunFiles(),
    Index(), Bundle(), Exchange(), Summary(), Keys(), TrainingState(),
]  # fmt: skip
