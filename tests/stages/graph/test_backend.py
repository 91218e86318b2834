"""`graph.backend`: which one builds a data set's graph, and what graph.json says of it."""

import builtins

import numpy as np
import pytest

from cache.errors import MelovError
from stages import config as config_module
from stages.config import GraphConfig, load_params
from stages.graph import graph as graph_module
from stages.graph import probes
from stages.graph.distances import mean_distance, seeded_rows
from stages.graph.graph import build_graph, load_graph
from stages.paths import SPLITS
from stages.section import ConfigError
from tests.support.graphs import clustered, edges

SIZES = dict(zip(SPLITS, (600, 40, 50), strict=True))


@pytest.fixture
def no_faiss(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'", name="faiss")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)


@pytest.fixture
def mentions():
    return {split: clustered(n, seed=3, clusters=30) for split, n in SIZES.items()}


@pytest.fixture
def pictures():
    rng = np.random.default_rng(4)
    return {split: rng.integers(-1, 99, n) for split, n in SIZES.items()}


def test_a_data_set_s_graph_says_how_it_was_found_and_loads_as_it_was(mentions, pictures, tmp_path):
    config = GraphConfig(backend="faiss", exclude_same_image=True)
    graph = build_graph(mentions, pictures, config)
    stats = graph.stats
    assert (stats["backend"], stats["bandwidth_sample"], stats["cells"]) == ("faiss", 600, 98)
    assert stats["recall"] >= probes.WANTED
    exact = build_graph(mentions, pictures, config.model_copy(update={"backend": "exact"}))
    for split in SPLITS:
        theirs, ours = edges(exact.rows(split)), edges(graph.rows(split))
        shared = theirs.keys() & ours.keys()
        assert len(shared) / len(theirs) >= 0.95
        assert all(theirs[pair] == ours[pair] for pair in shared)
    graph.save(tmp_path, {})
    loaded = load_graph(tmp_path)
    assert (loaded.stats, loaded.config) == (stats, config)
    assert loaded.config.digest == graph.config.digest != exact.config.digest


def test_the_bandwidth_of_a_large_training_set_comes_from_a_seeded_sample(
    mentions, pictures, monkeypatch
):
    monkeypatch.setattr(graph_module, "BANDWIDTH_SAMPLE", 200)
    stats = build_graph(mentions, pictures, GraphConfig(backend="faiss")).stats
    sample = seeded_rows(mentions["train"], 200)
    assert (len(sample), len(np.unique(sample, axis=0))) == (200, 200)
    assert (stats["mean_distance"], stats["bandwidth_sample"]) == (mean_distance(sample), 200)
    assert stats["mean_distance"] == pytest.approx(mean_distance(mentions["train"]), rel=0.02)
    stats = build_graph(mentions, pictures, GraphConfig(backend="exact")).stats
    assert stats["mean_distance"] == mean_distance(mentions["train"])
    assert stats["bandwidth_sample"] == 600


@pytest.mark.parametrize(("limit", "backend"), [(600, "exact"), (599, "faiss")])
def test_auto_is_exact_up_to_its_limit_and_faiss_beyond(
    mentions, pictures, monkeypatch, limit, backend
):
    monkeypatch.setattr(config_module, "EXACT_MENTIONS", limit)
    graph = build_graph(mentions, pictures, GraphConfig())
    assert graph.config.backend == graph.stats["backend"] == backend
    assert graph.config.digest == GraphConfig(backend=backend).digest


def test_the_digest_tells_backends_apart_once_auto_is_settled():
    exact, faiss = (GraphConfig(backend=name).digest for name in ("exact", "faiss"))
    assert exact != faiss
    limit = config_module.EXACT_MENTIONS
    assert GraphConfig().settled(limit).digest == exact
    assert GraphConfig().settled(limit + 1).digest == faiss
    assert GraphConfig(backend="exact").settled(limit + 1).digest == exact


@pytest.mark.usefixtures("no_faiss")
def test_without_faiss_a_graph_that_needs_it_names_the_extra(mentions, pictures, monkeypatch):
    monkeypatch.setattr(config_module, "EXACT_MENTIONS", 10)
    for backend in ("auto", "faiss"):
        with pytest.raises(MelovError, match=r"pip install 'melov-cache\[faiss\]'"):
            build_graph(mentions, pictures, GraphConfig(backend=backend))
    assert build_graph(mentions, pictures, GraphConfig(backend="exact")).stats["n"] == 600


def test_an_unknown_backend_names_the_nearest(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("graph: {backend: fais}")
    with pytest.raises(ConfigError, match=r"graph\.backend: .*found 'fais'; did you mean 'faiss'"):
        load_params(path)
