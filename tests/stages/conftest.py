"""The tiny world, for every test that opens it."""

import shutil

import pytest

from stages.config import load_params
from stages.datasets.store import open_store, provenance_of
from stages.encode.extract import extract
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tiny_world(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def opened(root):
    """Whoever changes what it has cached opens it anew."""
    return Dataset.open(DatasetPaths("tiny", root))


@pytest.fixture(scope="session")
def blind(root, tmp_path_factory):
    """The same data set with a store of texts alone: its paths."""
    paths = DatasetPaths("tiny", tmp_path_factory.mktemp("blind"))
    shutil.copytree(root / "data/tiny/records", paths.records)
    params = load_params(root / "params.yaml", "tiny")
    changed = {"text_encoder": str(root / "clip"), "image_encoder": "none"}
    extract(paths, params.extract.model_copy(update=changed))
    store = open_store(paths)
    source = GraphSource.of(store)
    graph = build_graph(source.features, source.pictures, params.graph)
    graph.save(paths.graph, provenance_of(store))
    return paths
