"""The graph of a data set: its matrices, its statistics, its files."""

import os
import zipfile

import numpy as np
import pytest

from cache.errors import MelovError
from cache.sealed import write_sealed
from stages.config import GraphConfig
from stages.graph.distances import mean_distance
from stages.graph.graph import GraphError, build_graph, load_graph
from stages.graph.plots import plot_graph, sample_similarities
from stages.graph.similarity import make_metric
from stages.paths import SPLITS
from tests.support.graphs import assert_same_bits, plain_mutual, plain_rows
from tests.support.resealed import reseal

SIZES = {"train": 80, "valid": 20, "test": 30}
MADE_FROM = {"store": "1f2e", "records": "90ab"}


@pytest.fixture
def features():
    """Points around shared centres, so that some have neighbours and some have none."""
    rng = np.random.default_rng(5)
    centres = 3 * rng.standard_normal((25, 6))
    return {
        split: (centres[rng.integers(25, size=n)] + 0.4 * rng.standard_normal((n, 6))).astype("f4")
        for split, n in SIZES.items()
    }


@pytest.fixture
def pictures():
    rng = np.random.default_rng(6)
    return {split: rng.integers(-1, 6, n).astype(np.int32) for split, n in SIZES.items()}


def metric_of(features, config):
    x = features["train"].astype(float)
    b = config.bandwidth_fraction * mean_distance(features["train"])
    return make_metric(config.metric, b, (x**2).sum(axis=1).max())


@pytest.mark.parametrize("metric", ["kernel", "euclidean", "cosine", "dot"])
@pytest.mark.parametrize("exclude", [False, True])
def test_all_matrices_equal_the_dense_formula(features, pictures, metric, exclude):
    config = GraphConfig(metric=metric, max_neighbors=4, exclude_same_image=exclude, block_rows=16)
    graph = build_graph(features, pictures, config)
    metric = metric_of(features, config)
    train = features["train"]
    own = pictures["train"] if exclude else None
    plain = plain_mutual(train, metric, config.floor, 4, own)
    np.testing.assert_array_equal(graph.train.toarray(), plain)
    for split in SPLITS[1:]:
        pair = (pictures[split], own) if exclude else None
        left = plain_rows(features[split], train, metric, config.floor, 4, pair)
        np.testing.assert_array_equal(
            graph.rows(split).toarray(), np.hstack([left, np.eye(len(left))])
        )


def test_transductive_rows_see_their_own_split_and_say_so(features, pictures):
    config = GraphConfig(max_neighbors=4, transductive=True)
    graph = build_graph(features, pictures, config)
    inductive = build_graph(features, pictures, GraphConfig(max_neighbors=4))
    n = SIZES["train"]
    plain = plain_mutual(features["test"], metric_of(features, config), config.floor, 4)
    np.testing.assert_array_equal(graph.test.toarray()[:, n:], plain)
    assert_same_bits(graph.test[:, :n], inductive.test[:, :n])
    assert_same_bits(graph.train, inductive.train)
    assert graph.test.nnz > inductive.test.nnz
    assert (graph.stats["setting"], inductive.stats["setting"]) == ("transductive", "inductive")


def test_a_mention_s_row_does_not_depend_on_the_others_of_its_split(features, pictures):
    whole = build_graph(features, pictures, GraphConfig())
    alone = build_graph(
        {**features, "test": features["test"][7:8]},
        {**pictures, "test": pictures["test"][7:8]},
        GraphConfig(),
    )
    n = SIZES["train"]
    assert_same_bits(whole.test[[7], :n], alone.test[:, :n])


def test_statistics_count_what_the_matrices_hold(features, pictures):
    config = GraphConfig(max_neighbors=4, bandwidth_fraction=0.35)
    graph = build_graph(features, pictures, config)
    degree = (graph.train.toarray() > 0).sum(axis=1) - 1
    stats = graph.stats
    assert stats["n"] == 80
    assert stats["edges"] == degree.sum() / 2
    assert stats["mean_degree"] == pytest.approx(degree.mean(), abs=1e-4)
    assert (stats["max_degree"], stats["isolated"]) == (degree.max(), (degree == 0).sum())
    assert stats["isolated"] > 0
    assert stats["bandwidth"] == pytest.approx(0.35 * mean_distance(features["train"]))
    others = (graph.valid.toarray()[:, :80] > 0).sum(axis=1)
    found = stats["splits"]["valid"]
    assert found["without_neighbour"] == (others == 0).sum()
    assert found["mean_neighbours"] == pytest.approx(others.mean(), abs=1e-4)


def test_a_split_without_mentions_makes_an_empty_matrix(features, pictures, tmp_path):
    features["valid"], pictures["valid"] = features["valid"][:0], pictures["valid"][:0]
    build_graph(features, pictures, GraphConfig()).save(tmp_path, MADE_FROM)
    assert load_graph(tmp_path).valid.shape == (0, 80)


def test_a_saved_graph_loads_as_it_was(features, pictures, tmp_path):
    graph = build_graph(features, pictures, GraphConfig(metric="dot", max_neighbors=4))
    graph.save(tmp_path, MADE_FROM)
    loaded = load_graph(tmp_path, MADE_FROM)
    for split in SPLITS:
        assert_same_bits(graph.rows(split), loaded.rows(split))
        assert loaded.rows(split).indices.dtype == np.int32
    assert (loaded.stats, loaded.metric) == (graph.stats, graph.metric)
    assert loaded.config == graph.config


def test_files_have_the_same_bytes_whenever_and_in_whatever_blocks(features, pictures, tmp_path):
    for name, block_rows in (("a", 1024), ("b", 7)):
        graph = build_graph(features, pictures, GraphConfig(block_rows=block_rows))
        graph.save(
            tmp_path / name,
            MADE_FROM,
            lambda to, of=graph: plot_graph(of, features["train"], to / "similarities.png", 0.5),
        )
    names = sorted(os.listdir(tmp_path / "a"))
    assert names == ["graph.json", "similarities.png", "test.npz", "train.npz", "valid.npz"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "train.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_graph_made_from_something_else_names_the_fields_and_the_command(
    features, pictures, tmp_path
):
    folder = tmp_path / "tiny" / "graph"
    build_graph(features, pictures, GraphConfig()).save(folder, MADE_FROM)
    with pytest.raises(GraphError) as caught:
        load_graph(folder, {"store": "1f2e", "records": "77aa"})
    assert "records: graph 90ab, now 77aa" in str(caught.value)
    assert "store" not in str(caught.value)
    assert caught.value.hint == "python -m pipeline.graph --dataset tiny"


@pytest.mark.parametrize(
    "damage", ["no index", "no matrix", "torn", "other matrix", "other layout"]
)
def test_a_damaged_folder_names_the_command_that_mends_it(features, pictures, tmp_path, damage):
    folder = tmp_path / "tiny" / "graph"
    build_graph(features, pictures, GraphConfig()).save(folder, MADE_FROM)
    if damage == "no index":
        (folder / "graph.json").unlink()
    elif damage == "no matrix":
        (folder / "valid.npz").unlink()
    elif damage == "torn":
        (folder / "train.npz").write_bytes((folder / "train.npz").read_bytes()[:-40])
    elif damage == "other matrix":
        (folder / "valid.npz").write_bytes((folder / "test.npz").read_bytes())
    else:
        write_sealed(folder / "graph.json", {"layout": 0})
    with pytest.raises(MelovError, match=r"python -m pipeline\.graph --dataset tiny"):
        load_graph(folder)


MATRICES = {
    "indices out of the matrix": lambda a: a.update(indices=a["indices"] + 1000),
    "negative indices": lambda a: a.update(indices=a["indices"] - 1000),
    "rows that go back": lambda a: a.update(indptr=a["indptr"][::-1].copy()),
    "rows past the end": lambda a: a.update(indptr=a["indptr"] * 1000),
    "no weights": lambda a: a.pop("data"),
    "weights that are no numbers": lambda a: a.update(data=a["data"] * np.nan),
    "weights of another type": lambda a: a.update(data=a["data"].astype("f8")),
    "another shape": lambda a: a.update(shape=a["shape"] * 2),
    "another format": lambda a: a.update(format=np.array(b"csc")),
}


@pytest.mark.parametrize("change", MATRICES)
def test_a_matrix_that_is_none_is_refused_under_a_right_checksum(
    features, pictures, tmp_path, change
):
    build_graph(features, pictures, GraphConfig()).save(tmp_path, MADE_FROM)
    path = tmp_path / "test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    MATRICES[change](arrays)
    np.savez(path, **arrays)
    reseal(tmp_path / "graph.json")
    with pytest.raises(GraphError, match=r"test\.npz: no readable matrix"):
        load_graph(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"splits": {}}, {"n": 81}, {"n": "many"}, {"splits": 1}, {"provenance": []},
        {"config": {"floor": 2}}, {"bandwidth": None}, {"unknown": 1},
    ],
)  # fmt: skip
def test_an_index_that_tells_of_no_graph_is_refused(features, pictures, tmp_path, change):
    build_graph(features, pictures, GraphConfig()).save(tmp_path, MADE_FROM)
    reseal(tmp_path / "graph.json", lambda content: {**content, **change})
    with pytest.raises(MelovError, match=r"graph\.json: damaged|no readable matrix"):
        load_graph(tmp_path)


def test_an_interrupted_save_keeps_the_older_graph(features, pictures, tmp_path, monkeypatch):
    graph = build_graph(features, pictures, GraphConfig())
    graph.save(tmp_path, MADE_FROM)

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("stages.graph.graph.sp.save_npz", fail)
    with pytest.raises(OSError, match="disk full"):
        graph.save(tmp_path, MADE_FROM)
    assert_same_bits(load_graph(tmp_path).train, graph.train)  # the older one, whole
    assert len(list(tmp_path.iterdir())) == 4


def test_features_of_a_single_training_mention_make_no_graph(features, pictures):
    features["train"] = features["train"][:1]
    with pytest.raises(GraphError, match="needs two training mentions"):
        build_graph(features, pictures, GraphConfig())


def test_sampled_similarities_are_those_of_distinct_mentions(features):
    x = features["train"]
    metric = make_metric("kernel", 2.0, 1.0)
    sampled = sample_similarities(x, metric, count=5000, seed=3)
    every = plain_rows(x, x, metric, 0.0, None, same=True)
    everything = every[~np.eye(len(x), dtype=bool)].mean()
    assert sampled.mean() == pytest.approx(everything, abs=0.02)
    assert set(sampled.astype(np.float32)) <= set(every[~np.eye(len(x), dtype=bool)])
