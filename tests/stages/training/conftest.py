import shutil

import pytest

from stages.config import GraphConfig, load_params
from stages.datasets.store import open_store, provenance_of
from stages.encode.extract import extract
from stages.graph.graph import build_graph
from stages.graph.source import GraphSource
from stages.paths import DatasetPaths
from stages.runs.data import open_dataset
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tiny_world(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def opened(root):
    return open_dataset(DatasetPaths("tiny", root))


@pytest.fixture(scope="session")
def blind(root, tmp_path_factory):
    """The same data set with a store of texts alone."""
    paths = DatasetPaths("tiny", tmp_path_factory.mktemp("blind"))
    shutil.copytree(root / "data/tiny/records", paths.records)
    config = load_params(root / "params.yaml", "tiny").extract
    changed = {"text_encoder": str(root / "clip"), "image_encoder": "none"}
    extract(paths, config.model_copy(update=changed))
    source = GraphSource.of(open_store(paths))
    build_graph(source.features, source.pictures, GraphConfig(floor=0.05)).save(
        paths.graph, provenance_of(open_store(paths))
    )
    return paths
