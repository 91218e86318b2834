"""`python -m pipeline.graph`, from a store on disk to the graph's folder."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cache.build import building
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from cache.sealed import write_sealed
from pipeline.graph import main
from stages.datasets.records import LAYOUT
from stages.datasets.store import open_store, provenance_of
from stages.graph.graph import load_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths

RECORDS = "00ff"
SIZES = {"train": 40, "valid": 10, "test": 12}


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """data/tiny with records.json and a store, below a working directory; the store's texts."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    paths = DatasetPaths("tiny")
    paths.records.mkdir(parents=True)
    write_sealed(paths.records / "records.json", {"layout": LAYOUT, "digest": RECORDS})
    rng = np.random.default_rng(0)
    arrays = {"texts/global": rng.standard_normal((50, 8)).astype(np.float16)}
    for split, n in SIZES.items():
        arrays[f"mentions/{split}/text"] = rng.integers(50, size=n).astype(np.int32)
        arrays[f"mentions/{split}/image"] = rng.integers(-1, 9, size=n).astype(np.int32)
    specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
    fingerprint = Fingerprint({"records": RECORDS})
    with building(paths.store, paths.partial, "w", fingerprint, specs) as build:
        build.write("all", [(name, 0, a) for name, a in arrays.items()])
        build.finish(["all"], {})
    return arrays


def run(*arguments):
    return CliRunner().invoke(main, ["--dataset", "tiny", *arguments])


def test_the_command_writes_a_graph_of_the_store_and_prints_its_statistics(texts):
    result = run("--set", "graph.max_neighbors=5")
    assert result.exit_code == 0, result.output
    store = FeatureStore.open(DatasetPaths("tiny").store)
    graph = load_graph(DatasetPaths("tiny").graph, provenance_of(store))
    assert graph.config.max_neighbors == 5
    assert graph.test.shape == (12, 52)
    assert f"edges          {graph.stats['edges']}\n" in result.output
    picture = DatasetPaths("tiny").graph / "similarities.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_features_are_the_rows_that_the_mentions_point_at(texts):
    source = GraphSource.of(open_store(DatasetPaths("tiny")))
    for split in SIZES:
        rows = texts[f"mentions/{split}/text"]
        np.testing.assert_array_equal(source.features[split], texts["texts/global"][rows])
        np.testing.assert_array_equal(source.pictures[split], texts[f"mentions/{split}/image"])
        assert source.features[split].dtype == np.float32


def test_a_store_of_other_records_fails_with_both_digests_and_the_command(texts):
    write_sealed(
        DatasetPaths("tiny").records / "records.json", {"layout": LAYOUT, "digest": "11ee"}
    )
    result = run()
    assert result.exit_code == 1
    assert "made from records 00ff, but data/tiny/records holds 11ee" in result.output
    assert "python -m pipeline.extract --dataset tiny" in result.output
    assert not DatasetPaths("tiny").graph.exists()


def test_a_data_set_without_a_store_names_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    paths = DatasetPaths("tiny")
    paths.records.mkdir(parents=True)
    write_sealed(paths.records / "records.json", {"layout": LAYOUT, "digest": RECORDS})
    result = run()
    assert result.exit_code == 1
    assert "no such feature store" in result.output
    assert "python -m pipeline.extract --dataset tiny" in result.output
