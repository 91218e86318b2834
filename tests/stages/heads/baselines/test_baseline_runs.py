import math
from collections import Counter

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.datasets.store import open_store
from stages.features.cached import CachedFeatures
from stages.features.features import MentionInput
from stages.features.views import distinct_views
from stages.heads.settings import HeadsConfig
from stages.heads.variants import VARIANTS
from stages.ranking.metrics import metrics
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset
from stages.runs.history import plot_history, write_history
from stages.training import train as module
from stages.training.train import train
from tests.support.alike_world import N, make_alike
from tests.support.small_runs import CPU, run_data, small

BASELINES = {name: entry for name, entry in VARIANTS.items() if not entry.has_units}


def opened_run(opened, variant, **changes):
    config = small(**{"epochs": 8, "patience": 8} | changes).settled(variant)
    return (config, *run_data(opened, config, variant))


def fresh(heads):
    torch.manual_seed(0)
    return heads.entry.build(heads).eval()


def valid_mrr(model, data):
    gold = data.gold["valid"]
    rows = np.arange(len(gold))
    ranks = rank_gold(model, data.inputs, data.views, "valid", rows, gold, EvaluateConfig())
    return metrics(ranks, N)["mrr"]


@pytest.mark.parametrize("variant", [name for name, entry in BASELINES.items() if entry.trained])
def test_training_beats_its_own_initial_weights(opened, tmp_path, variant):
    config, data, heads = opened_run(opened, variant)
    trained = train(data, heads, config, EvaluateConfig(), 0, tmp_path)
    model = fresh(heads)
    before = valid_mrr(model, data)
    model.load_state_dict(trained.state)
    after = valid_mrr(model, data)
    assert after > before + 0.03
    assert after == max(row["valid_mrr"] for row in trained.history)
    rows = trained.history[1:]
    assert rows[-1]["loss_e"] < rows[0]["loss_e"]
    assert all(row["loss_g"] == 0 for row in rows)


@pytest.mark.parametrize("variant", ["tfidf", "zero-shot", "clip"])
def test_without_a_weight_there_is_no_epoch_and_the_files_are_whole(opened, tmp_path, variant):
    config, data, heads = opened_run(opened, variant)
    for _ in range(2):
        trained = train(data, heads, config, EvaluateConfig(), 0, tmp_path)
        assert (trained.state, trained.history, trained.best_epoch) == ({}, [], 0)
    assert list(tmp_path.iterdir()) == []
    write_history(tmp_path / "history.csv", trained.history)
    written = (tmp_path / "history.csv").read_text()
    assert written == "epoch,loss,loss_e,loss_g,valid_mrr,valid_hits@1\n"
    plot_history(tmp_path / "history.png", trained.history, 0, "none")
    assert (tmp_path / "history.png").stat().st_size > 1000


def test_a_killed_baseline_resumes_and_ends_as_a_straight_one(opened, tmp_path):
    class KilledError(Exception):
        pass

    def kill(row):
        raise KilledError

    config, data, heads = opened_run(opened, "blink", epochs=3)
    straight = train(data, heads, config, EvaluateConfig(), 0, tmp_path / "a")
    with pytest.raises(KilledError):
        train(data, heads, config, EvaluateConfig(), 0, tmp_path / "b", kill)
    torch.rand(7)
    resumed = train(data, heads, config, EvaluateConfig(), 0, tmp_path / "b")
    assert resumed.history == straight.history
    assert all(w.equal(straight.state[name]) for name, w in resumed.state.items())


def test_blink_is_trained_on_hard_negatives(opened, tmp_path, monkeypatch):
    seen = []
    load = module.load_batch

    def watched(inputs, rows, gold, hard, *rest):
        seen.append(hard)
        return load(inputs, rows, gold, hard, *rest)

    monkeypatch.setattr(module, "load_batch", watched)
    for variant, shape in (("blink", (16, 1)), ("bert", None)):
        config, data, heads = opened_run(opened, variant, epochs=1)
        train(data, heads, config, EvaluateConfig(), 0, tmp_path / variant)
        shapes = {None if hard is None else hard.shape for hard in seen}
        assert shapes == {shape}
        seen.clear()


def by_a_loop(total, gold):
    ranks = []
    for scores, own in zip(total, gold, strict=True):
        higher = sum(s > scores[own] for s in scores)
        equal = sum(s == scores[own] for i, s in enumerate(scores) if i != own)
        ranks.append(1 + higher + equal / 2)
    return np.array(ranks)


@pytest.mark.parametrize("variant", BASELINES)
def test_ranks_equal_those_of_the_whole_score_matrix(opened, variant):
    _, data, heads = opened_run(Dataset.open(opened.paths), variant)
    cached = data.cached
    picked = make_alike(cached)
    model, views, gold = fresh(heads), distinct_views(cached), data.gold["test"]
    with torch.inference_mode():
        side, _ = model.mentions(data.inputs.batch("test", np.arange(len(gold))))
        all_entities = model.entities(cached.entities(np.arange(N)))
        total = model.matcher.pairs(side, all_entities).total.double().numpy()[:, picked]
    # What rounding alone tells apart is a tie; TF-IDF has many.
    want = by_a_loop(np.round(total, 5), gold.tolist())
    for mention_rows, entity_rows in ((32, 256), (5, 4)):
        blocks = EvaluateConfig(mention_rows=mention_rows, entity_rows=entity_rows)
        rows = np.arange(len(gold))
        found = rank_gold(model, data.inputs, views, "test", rows, gold, blocks)
        np.testing.assert_array_equal(found, want)
    assert (want % 1 == 0.5).any()


def test_tfidf_is_the_cosine_of_counted_and_weighted_n_grams(opened):
    """From the names alone: counts of n-grams within blank-bounded words, smoothed idf."""
    names = opened.records.entities["name"].to_pylist()
    words = opened.records.mentions["test"]["words"].to_pylist()

    def counts(name):
        padded = [f" {word} " for word in name.lower().split()]
        grams = [w[i : i + n] for w in padded for n in (2, 3, 4) for i in range(len(w) - n + 1)]
        return Counter(grams)

    seen = [counts(name) for name in names]
    df = Counter(gram for of_name in seen for gram in of_name)
    idf = {gram: math.log((1 + len(names)) / (1 + k)) + 1 for gram, k in df.items()}

    def cosine(a, b):
        x, y = ({g: k * idf[g] for g, k in of.items() if g in idf} for of in (a, b))
        norms = math.hypot(*x.values()) * math.hypot(*y.values())
        return sum(x[g] * y.get(g, 0) for g in x) / norms

    _, data, heads = opened_run(opened, "tfidf")
    model = fresh(heads)
    side, _ = model.mentions(data.inputs.batch("test", np.arange(len(words))))
    found = model.matcher.pairs(side, model.entities(data.cached.entities(np.arange(N)))).total
    want = [[cosine(counts(word), of_name) for of_name in seen] for word in words]
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", BASELINES)
def test_without_pictures_a_baseline_runs_on_text_or_says_what_to_do(blind, variant):
    store, reads = open_store(blind), BASELINES[variant].reads
    if "pictures" in reads:
        with pytest.raises(MelovError, match="holds no picture features") as found:
            CachedFeatures(store, reads, CPU)
        assert "a baseline of text alone" in str(found.value)
        assert str(store.path) in str(found.value)
        return
    cached = CachedFeatures(store, reads, CPU)
    model = fresh(HeadsConfig.of(small(), variant, cached.shapes, cached.joint_space, 0.05))
    side, _ = model.mentions(MentionInput(cached.mentions("test", np.arange(5))))
    found = model.matcher.pairs(side, model.entities(cached.entities(np.arange(N)))).total
    assert found.shape == (5, N)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    "variant", [n for n, of in BASELINES.items() if "tokens" not in of.reads and not of.joint]
)
def test_tokens_and_patches_stay_unread_where_they_are_not_used(opened, variant):
    _, data, heads = opened_run(opened, variant)
    model, rows = fresh(heads), np.arange(N)
    lean = data.cached.entities(rows)
    more = {"tokens", "patches"} if heads.uses_images else {"tokens"}
    whole = CachedFeatures(opened.store, heads.reads | more, CPU).entities(rows)
    assert lean.text_local.shape[1] == 0
    assert whole.text_local.shape[1] > 0
    if lean.image_local is not None:
        assert (lean.image_local.shape[1], whole.image_local.shape[1]) == (0, heads.n_p)
    side, _ = model.mentions(data.inputs.batch("test", np.arange(5)))
    with torch.no_grad():
        a, b = (model.matcher.pairs(side, model.entities(x)).total for x in (lean, whole))
    assert torch.equal(a, b)


def test_text_and_picture_are_compared_in_clips_space_alone(opened, monkeypatch):
    assert fresh(opened_run(opened, "clip")[2]).matcher.joint
    monkeypatch.setattr(CachedFeatures, "joint_space", False)
    assert not fresh(opened_run(opened, "clip")[2]).matcher.joint
