from typing import ClassVar

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import load_params
from stages.features.cached import CachedFeatures
from stages.features.neighborhood import limit_neighbors
from stages.features.relevance import relevance_cut, relevant_pictures
from stages.paths import SPLITS
from tests.support.small_runs import CPU, run_data

EVERYTHING = ("tokens", "pictures", "patches", "lexical", "words")


@pytest.fixture
def cached(opened):
    return CachedFeatures(opened.store, EVERYTHING, CPU)


def config(root, *assignments):
    return load_params(root / "params.yaml", "tiny", assignments).train


def array(store, name):
    return store[name].slice(0, len(store[name]))


def assert_equals_the_store(store, group, rows, features, images=None):
    """Row by row; `images` replaces the store's picture rows of the group."""
    offsets, locals_ = array(store, "texts/offsets"), array(store, "texts/local")
    texts = array(store, f"{group}/text")
    images = array(store, f"{group}/image") if images is None else images
    assert len(features) == len(rows)
    for i, row in enumerate(rows):
        lo, hi = offsets[texts[row]]
        tokens = locals_[lo:hi]
        mask = features.text_mask[i].numpy()
        assert mask.tolist() == [j < len(tokens) for j in range(len(mask))]
        np.testing.assert_array_equal(features.text_local[i][: len(tokens)], tokens)
        assert not features.text_local[i][len(tokens) :].any()
        np.testing.assert_array_equal(
            features.text_global[i], array(store, "texts/global")[texts[row]]
        )
        for kind in ("lexical", "words"):
            expected = sparse_row(store, f"{kind}/{group}", row, len(store[f"{kind}/idf"]))
            np.testing.assert_array_equal(features.csr(kind)[[i]].toarray()[0], expected)
        assert_is_picture(
            store, images[row], features.image_global[i], features.image_local[i],
            features.has_image[i],
        )  # fmt: skip


def sparse_row(store, name, row, width):
    values, columns, indptr = (
        array(store, f"{name}/{part}") for part in ("data", "indices", "indptr")
    )
    mine = slice(indptr[row], indptr[row + 1])
    expected = np.zeros(width, np.float32)
    expected[columns[mine]] = values[mine]
    return expected


def assert_is_picture(store, row, image_global, image_local, has_image):
    assert bool(has_image) == (row >= 0)
    if row < 0:
        assert not image_global.any()
        assert not image_local.any()
    else:
        np.testing.assert_array_equal(image_global, array(store, "images/global")[row])
        np.testing.assert_array_equal(image_local, array(store, "images/local")[row])


@pytest.mark.parametrize("group", ["entities", *SPLITS])
def test_features_equal_the_rows_of_the_store(opened, cached, group):
    rng = np.random.default_rng(0)
    if group == "entities":
        rows = rng.integers(0, len(cached.text_rows["entities"]), 20)  # some twice
        return assert_equals_the_store(opened.store, group, rows, cached.entities(rows))
    rows = rng.permutation(cached.n_mentions(group))
    assert (cached.image_rows[f"mentions/{group}"] < 0).any()
    features = cached.mentions(group, rows)
    return assert_equals_the_store(opened.store, f"mentions/{group}", rows, features)


def test_a_batch_without_any_picture_is_zeros(cached):
    rows = np.flatnonzero(cached.image_rows["entities"] < 0)
    features = cached.entities(rows)
    assert features.image_local.shape[0] == len(rows) > 0
    assert not features.has_image.any()
    assert not features.image_global.any()
    assert not features.image_local.any()


def test_a_batch_of_nothing_is_empty(cached):
    features = cached.entities(np.array([], dtype=np.int64))
    assert len(features) == len(features.image_global) == 0


def test_pictures_that_are_taken_away_are_zeros_and_the_others_stay(opened, cached):
    n = cached.n_mentions("test")
    keep, rows = np.arange(n) % 2 == 0, np.arange(n)[::-1]
    left = np.where(keep, cached.image_rows["mentions/test"], -1)
    features = cached.mentions("test", rows, keep)
    assert_equals_the_store(opened.store, "mentions/test", rows, features, left)


def test_what_is_not_read_is_not_there(opened):
    features = CachedFeatures(opened.store, ("tokens",), CPU).mentions("train", np.arange(5))
    assert features.text_local.shape[1] > 0
    assert features.image_global is None
    assert features.image_local is None
    assert features.arrays == {}
    bare = CachedFeatures(opened.store, ("pictures", "words"), CPU).mentions("train", np.arange(5))
    assert bare.text_local.shape[1] == bare.text_mask.shape[1] == 0
    assert bare.image_local.shape[1] == 0
    assert bare.arrays.keys() == {"words"}


def test_an_array_that_the_store_lacks_names_the_command_that_makes_it(opened):
    with pytest.raises(MelovError, match="holds no array 'smell'") as caught:
        CachedFeatures(opened.store, ("smell",), CPU)
    assert caught.value.hint == "python -m pipeline.extract --dataset tiny --force"


@pytest.mark.parametrize("normalization", ["row", "sym"])
@pytest.mark.parametrize("split", SPLITS)
def test_the_gcn_reads_the_pictures_of_the_right_mentions(root, opened, split, normalization):
    settings = config(root, "train.neighbor_limit=3", f"train.normalization={normalization}")
    data, _ = run_data(opened, settings, "melov")
    store, n = opened.store, len(array(opened.store, "mentions/train/image"))
    pictures = array(store, "mentions/train/image")
    first = 0
    if split != "train":
        pictures = np.concatenate([pictures, array(store, f"mentions/{split}/image")])
        first = n
    train = limit_neighbors(opened.graph.train, 3).toarray()
    whole = np.zeros((len(pictures), len(pictures)), np.float32)
    whole[:n, :n] = train
    if split != "train":
        whole[n:] = limit_neighbors(opened.graph.rows(split), 3).toarray()

    rows = np.random.default_rng(1).permutation(len(pictures) - first)[:5]
    batch = data.inputs.batch(split, rows)
    nodes = batch.neighborhood.nodes
    assert nodes[: len(rows)].tolist() == (rows + first).tolist()
    reached = set(rows + first)
    for _ in range(settings.gcn_layers):
        reached |= {int(c) for r in reached for c in np.flatnonzero(whole[r])}
    assert sorted(nodes) == sorted(reached)
    read, of_node = batch.pictures, batch.pictures.of_node.tolist()
    for place, node in zip(of_node, nodes, strict=True):
        assert (place >= 0) == (pictures[node] >= 0)
        if place >= 0:
            shown = read.image_global[place], read.image_local[place]
            assert_is_picture(store, pictures[node], *shown, has_image=True)
    distinct = set(pictures[nodes].tolist()) - {-1}
    assert len(read.image_global) == len(read.image_local) == len(distinct)


def test_the_right_neighbours_are_read_with_the_right_weights(root, opened):
    """One layer by hand: Σ A_ij v_j over the neighbourhood equals the dense product."""
    settings = config(root, "train.neighbor_limit=0", "train.gcn_layers=1")
    data, _ = run_data(opened, settings, "melov")
    batch = data.inputs.batch("test", np.arange(24))
    edges, weights = batch.neighborhood.blocks[0].edges, batch.neighborhood.blocks[0].weights
    read = batch.pictures
    of_nodes = read.image_global[read.of_node] * (read.of_node >= 0)[:, None]
    found = torch.zeros(24, of_nodes.shape[1])
    found.index_add_(0, edges.row_index, weights[:, None] * of_nodes[edges.indices])
    images = [array(opened.store, f"mentions/{split}/image") for split in ("train", "test")]
    v, _ = data.cached.images(np.concatenate(images))
    want = torch.from_numpy(opened.graph.test.toarray()) @ v
    torch.testing.assert_close(found, want)


def test_a_variant_without_a_gcn_reads_no_neighbours(root, opened):
    data, _ = run_data(opened, config(root), "mimic")
    assert data.inputs.batch("valid", np.arange(3)).neighborhood is None


def train_cosines(store):
    texts, images = array(store, "mentions/train/text"), array(store, "mentions/train/image")
    t, v = (array(store, f"{kind}/global").astype(float) for kind in ("texts", "images"))
    return [
        t[a] @ v[b] / np.linalg.norm(t[a]) / np.linalg.norm(v[b])
        for a, b in zip(texts, images, strict=True)
        if b >= 0
    ]


@pytest.mark.parametrize("quantile", [0.1, 0.3, 0.8])
def test_the_relevance_cut_is_the_quantile_of_training_mentions_with_pictures(
    opened, cached, quantile
):
    cosines = train_cosines(opened.store)
    assert len(cosines) == 36
    cut = relevance_cut(cached, quantile)
    assert cut == pytest.approx(np.quantile(cosines, quantile), abs=1e-6)
    keep = relevant_pictures(cached, cut)
    assert keep["train"].sum() == pytest.approx((1 - quantile) * len(cosines), abs=1)
    for split in SPLITS:
        without = cached.image_rows[f"mentions/{split}"] < 0
        assert keep[split].shape == without.shape
        assert not keep[split][without].any()


def test_the_filter_variant_takes_the_least_relevant_pictures_away(root, opened):
    data, _ = run_data(opened, config(root, "train.filter_quantile=0.5"), "filter")
    has = data.inputs.batch("train", np.arange(48)).features.has_image.numpy()
    cosines = np.array(train_cosines(opened.store))
    with_picture = data.cached.image_rows["mentions/train"] >= 0
    np.testing.assert_array_equal(has[with_picture], cosines >= np.quantile(cosines, 0.5))
    assert data.cached.entities(np.arange(28)).has_image.sum() == 23  # entities keep theirs


class Bare(dict):
    """A store without any array."""

    path = "features.zarr"
    attributes: ClassVar = {}


@pytest.mark.parametrize("changes", [{"store": Bare()}, {"shapes": {"d_t": 8, "d_image": 16}}])
def test_relevance_outside_of_clips_joint_space_is_a_clear_error(cached, monkeypatch, changes):
    for name, value in changes.items():
        monkeypatch.setattr(cached, name, value)
    with pytest.raises(MelovError, match="joint space") as caught:
        relevance_cut(cached, 0.3)
    assert "another variant" in caught.value.hint
