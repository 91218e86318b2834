from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import MelovError
from stages.config import EvaluateConfig, TrainConfig
from stages.heads.model import Melov
from stages.heads.variants import VARIANTS
from stages.ranking.metrics import metrics
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset
from stages.training import step
from stages.training import train as module
from tests.support.small_runs import assert_equal_runs, run_data, short_run, small

SETTINGS = {"dropout": 0.1, "hard_negatives": 2, "schedule": "linear"}


class KilledError(Exception):
    pass


def killed_after(epoch):
    def on_epoch(row):
        if row["epoch"] == epoch:
            raise KilledError

    return on_epoch


@pytest.fixture(scope="module")
def straight(opened, tmp_path_factory):
    return short_run(opened, tmp_path_factory.mktemp("straight"), **SETTINGS)[0]


def test_one_seed_gives_one_run_and_another_seed_another(opened, straight, tmp_path):
    again = short_run(opened, tmp_path / "a", **SETTINGS)[0]
    assert_equal_runs(again, straight)
    other = short_run(opened, tmp_path / "b", seed=1, **SETTINGS)[0]
    assert other.history != straight.history
    assert any(not w.equal(straight.state[name]) for name, w in other.state.items())


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_killed_run_resumes_and_ends_as_a_straight_one(opened, straight, tmp_path, epoch):
    with pytest.raises(KilledError):
        short_run(opened, tmp_path, on_epoch=killed_after(epoch), **SETTINGS)
    torch.rand(7)  # whatever the process draws meanwhile
    rows = []
    resumed = short_run(opened, tmp_path, on_epoch=rows.append, **SETTINGS)[0]
    assert [row["epoch"] for row in rows] == list(range(epoch + 1, 4))
    assert_equal_runs(resumed, straight)


def test_a_damaged_state_is_reported_and_training_starts_over(opened, straight, tmp_path, caplog):
    with pytest.raises(KilledError):
        short_run(opened, tmp_path, on_epoch=killed_after(2), **SETTINGS)
    (state,) = tmp_path.glob("*/state.pt")
    state.write_bytes(state.read_bytes()[:-100])
    rows = []
    again = short_run(opened, tmp_path, on_epoch=rows.append, **SETTINGS)[0]
    assert f"{state}: damaged; training starts over" in caplog.text
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert_equal_runs(again, straight)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"epochs": 2}, {"lambda_g": 0.5}, {"variant": "mimic"}]
)
def test_other_settings_work_in_another_folder(opened, tmp_path, changes):
    for settings in ({"epochs": 1}, {"epochs": 1} | changes):
        with pytest.raises(KilledError):
            short_run(opened, tmp_path, on_epoch=killed_after(1), units=("text",), **settings)
    assert len(list(tmp_path.glob("*/state.pt"))) == 2


def test_early_stopping_by_unseen_entities_is_the_metric_of_their_mentions(opened, tmp_path):
    trained, data, heads = short_run(opened, tmp_path, epochs=0, valid_on="unseen")
    seen = set(data.gold["train"].tolist())
    rows = np.array([i for i, e in enumerate(data.gold["valid"].tolist()) if e not in seen])
    assert 0 < len(rows) < len(data.gold["valid"])
    model = heads.entry.build(heads)
    model.load_state_dict(trained.state)
    gold = data.gold["valid"][rows]
    ranks = rank_gold(model, data.inputs, data.views, "valid", rows, gold, EvaluateConfig())
    assert trained.history[0]["valid_mrr"] == pytest.approx((1 / ranks).mean())


def test_without_an_unseen_entity_validation_by_them_is_refused():
    gold = {"train": np.array([3, 1]), "valid": np.array([1, 3, 3])}
    with pytest.raises(MelovError, match="has a training one") as refused:
        module.validation_rows(gold, TrainConfig(valid_on="unseen"))
    assert refused.value.hint == "--set train.valid_on=all"
    assert module.validation_rows(gold, TrainConfig()).tolist() == [0, 1, 2]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4), st.randoms())
def test_an_epoch_takes_so_many_mentions_of_an_entity_in_its_order(entities, most, chance):
    order = list(range(len(entities)))
    chance.shuffle(order)
    kept = module.first_of_each(
        np.array(order, dtype=int), np.array([entities[i] for i in order], dtype=int), most
    )
    taken, expected = Counter(), []
    for i in order:
        taken[entities[i]] += 1
        expected += [i] if taken[entities[i]] <= most else []
    assert kept.tolist() == expected


def test_a_cap_on_an_entitys_mentions_makes_another_and_shorter_epoch(
    opened, tmp_path, monkeypatch
):
    targets = []
    real = module.train_step

    def noted(model, optimizer, batch, *rest):
        targets.append(len(batch.target))
        return real(model, optimizer, batch, *rest)

    monkeypatch.setattr(module, "train_step", noted)
    _, data, _ = short_run(opened, tmp_path, epochs=1, per_entity=1)
    rows = data.views.rows[data.views.of_entity[data.gold["train"]]]
    assert sum(targets) == len(set(rows.tolist())) < len(rows)


def test_no_epoch_keeps_the_start(opened, tmp_path):
    trained, _, heads = short_run(opened, tmp_path, epochs=0)
    torch.manual_seed(0)
    start = heads.entry.build(heads).state_dict()
    assert all(weight.equal(trained.state[name]) for name, weight in start.items())
    assert (len(trained.history), trained.best_epoch, trained.seconds) == (1, 0, [])


@pytest.mark.parametrize(
    ("course", "patience", "best", "epochs"),
    [
        ([0.0, 0.1, 0.5, 0.4, 0.5, 0.3, 0.9], 3, 2, 5),  # an equal MRR is no better one
        ([0.0, 0.1, 0.5, 0.4, 0.6, 0.3, 0.2], 2, 4, 6),
        ([0.1, 0.5, 0.4, 0.9], 1, 1, 2),
        ([0.0, 0.0, 0.0, 0.0, 0.0], 2, 0, 2),
        ([0.6, 0.5, 0.4, 0.9], 2, 0, 2),  # nothing that is learned betters the start in time
        ([0.0, 0.1, 0.2, 0.3], 2, 3, 3),
    ],
)
def test_training_stops_after_patience_and_keeps_the_best_weights(
    opened, tmp_path, monkeypatch, course, patience, best, epochs
):
    seen = []

    def scripted(model, *rest):
        seen.append({name: w.clone() for name, w in model.state_dict().items()})
        return {"valid_mrr": course[len(seen) - 1], "valid_hits@1": 0.0}

    monkeypatch.setattr(module, "_validate", scripted)
    settings = {"units": ("text",), "batch_size": 48, "patience": patience}
    settings["epochs"] = len(course) - 1
    trained, *_ = short_run(opened, tmp_path, "mimic", **settings)
    assert len(seen) == len(trained.history) == 1 + epochs
    assert trained.best_epoch == best
    assert all(w.equal(seen[best][name]) for name, w in trained.state.items())
    short_run(opened, tmp_path, "mimic", **settings)
    assert len(seen) == 1 + epochs  # a stopped run that is resumed stays stopped


def valid_mrr(model, data):
    gold = data.gold["valid"]
    rows = np.arange(len(gold))
    ranks = rank_gold(model, data.inputs, data.views, "valid", rows, gold, EvaluateConfig())
    return metrics(ranks, 28)["mrr"]


@pytest.mark.parametrize("variant", [n for n, entry in VARIANTS.items() if entry.has_units])
def test_training_beats_its_own_initial_weights(opened, tmp_path, variant):
    trained, data, heads = short_run(opened, tmp_path, variant, epochs=6)
    torch.manual_seed(0)
    model = Melov(heads)
    before = valid_mrr(model, data)
    model.load_state_dict(trained.state)
    after = valid_mrr(model, data)
    assert after > before + 0.1
    start, *rows = trained.history
    assert start["valid_mrr"] == before
    assert not {"loss", "loss_e", "loss_g"} & start.keys()
    assert after == max(row["valid_mrr"] for row in trained.history)
    assert rows[-1]["loss_e"] < rows[0]["loss_e"]
    taus = [row["tau"] for row in trained.history if "tau" in row]
    if variant in ("melov", "no-inter"):
        assert taus[0] == pytest.approx(0.2)
        assert len({*taus}) == 7
        assert all(0.05 < tau < 1 for tau in taus)
    else:
        assert taus == ([pytest.approx(0.05)] * 7 if variant == "no-tau" else [])
    has_vae = variant in ("melov", "no-intra", "no-tau")
    assert all((row["loss_g"] > 0) == has_vae for row in rows)
    assert rows[0]["loss"] == pytest.approx(rows[0]["loss_e"] + 1e-3 * rows[0]["loss_g"])


@pytest.mark.parametrize("hard", [0, 3])
def test_columns_are_distinct_so_that_mentions_of_one_entity_share_theirs(
    opened, tmp_path, monkeypatch, hard
):
    config = small(units=("text",), epochs=1, hard_negatives=hard)
    data, heads = run_data(opened, config, "mimic")
    rows, columns, targets, widths = [], [], [], []
    batch, entities, loss = data.inputs.batch, data.cached.entities, step.contrastive_loss
    load, loading = module.load_batch, []

    def load_seen(*arguments):
        loading.append(True)  # what validation reads is no batch's
        found = load(*arguments)
        loading.pop()
        return found

    def batch_seen(split, found):
        rows.extend([found] if split == "train" else [])
        return batch(split, found)

    def entities_seen(found):
        if loading:
            columns.append(found)
        return entities(found)

    def loss_seen(scores, target, smoothing):
        targets.append(target.numpy())
        widths.append(scores.total.shape)
        return loss(scores, target, smoothing)

    monkeypatch.setattr(module, "load_batch", load_seen)
    monkeypatch.setattr(data.inputs, "batch", batch_seen)
    monkeypatch.setattr(data.cached, "entities", entities_seen)
    monkeypatch.setattr(step, "contrastive_loss", loss_seen)
    module.train(data, heads, config, EvaluateConfig(), 0, tmp_path)
    assert sorted(np.concatenate(rows)) == list(range(48))  # an epoch is every mention once
    shared = 0
    for r, c, t, width in zip(rows, columns, targets, widths, strict=True):
        gold = data.gold["train"][r]
        assert len(set(c)) == len(c) == width[1]
        assert width[0] == len(r) == 16
        np.testing.assert_array_equal(c[t], gold)
        shared += len(gold) - len(set(gold.tolist()))
        if hard == 0:
            assert set(c) == set(gold)
        else:
            assert set(c) > set(gold)
    assert shared > 0


def test_a_last_batch_of_one_mention_is_left_out(opened, tmp_path):
    trained, *_ = short_run(opened, tmp_path, "mimic", units=("text",), batch_size=47, epochs=1)
    assert np.isfinite(trained.history[1]["loss"])


def test_a_validation_sample_is_fixed_and_of_the_size_asked_for():
    assert module.sample(12, 0).tolist() == list(range(12))
    assert module.sample(12, 12).tolist() == list(range(12))
    some = module.sample(12, 5)
    assert len(set(some.tolist())) == 5
    assert some.tolist() == module.sample(12, 5).tolist() == sorted(some)


def test_a_loss_that_is_not_finite_is_one_clear_error(opened, tmp_path):
    with pytest.raises(MelovError, match="not finite") as caught:
        short_run(opened, tmp_path, learning_rate=10, lambda_g=1e6, logit_scale=1e6)
    assert "epoch 1" in str(caught.value)
    assert caught.value.hint == "lower train.learning_rate"


@pytest.mark.parametrize("tau", [0.01, 0.05])
def test_a_threshold_that_does_not_start_above_the_floor_raises(opened, tau):
    with pytest.raises(MelovError, match=r"tau_init.*floor 0\.05") as caught:
        run_data(opened, small(tau_init=tau), "melov")
    assert "raise train.tau_init" in caught.value.hint
    run_data(opened, small(tau_init=tau), "mimic")  # reads no graph


@pytest.mark.parametrize("units", [("vision",), ("text", "cross")])
def test_units_that_need_pictures_raise_on_a_store_of_texts(blind, units):
    with pytest.raises(MelovError, match="no picture features") as caught:
        run_data(Dataset.open(blind), small(units=units), "melov")
    assert "--set train.units=[text]" in caught.value.hint


@pytest.mark.parametrize("variant", ["melov", "filter"])
def test_text_alone_trains_on_a_store_of_texts(blind, tmp_path, variant):
    trained, *_ = short_run(Dataset.open(blind), tmp_path, variant, units=("text",), epochs=1)
    assert "tau" not in trained.history[1]


def test_the_linear_schedule_falls_step_by_step_from_the_rate_to_nearly_zero(
    opened, tmp_path, monkeypatch
):
    rates = []
    update = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return update(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    short_run(opened, tmp_path, "mimic", epochs=2, schedule="linear", learning_rate=0.01)
    n = len(rates)
    assert n >= 4
    np.testing.assert_allclose(rates, [0.01 * (1 - i / n) for i in range(n)])
