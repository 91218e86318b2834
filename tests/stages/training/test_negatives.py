import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.features.cached import CachedFeatures
from stages.features.stored import record_array
from stages.features.views import distinct_views
from stages.training import negatives
from stages.training.negatives import POOL, nearest_wrong
from stages.training.train import _drawn
from tests.support.small_runs import CPU

SAME = [[0, 5, 9], [3, 27]]


@pytest.fixture
def cached(opened):
    """With entities that look the same."""
    found = CachedFeatures(opened.store, ("tokens", "pictures"), CPU)
    for first, *others in SAME:
        for rows in (found.text_rows, found.image_rows):
            rows["entities"][others] = rows["entities"][first]
    return found


@pytest.fixture
def gold(opened):
    gold = opened.records.gold("train").copy()
    gold[:5] = [0, 5, 9, 3, 27]
    return gold


def nearness(cached, mention, entity):
    texts = np.asarray(cached.store["texts/global"].gather(np.arange(len(cached.tokens))), float)
    t = texts[cached.text_rows["mentions/train"][mention]]
    e = texts[cached.text_rows["entities"][entity]]
    names_m = record_array(cached.store, "lexical", "mentions/train")[[mention]].toarray()[0]
    names_e = record_array(cached.store, "lexical", "entities")[[entity]].toarray()[0]
    return t @ e / np.linalg.norm(t) / np.linalg.norm(e) + names_m @ names_e


def test_hard_negatives_are_the_nearest_by_a_plain_loop(cached, gold, monkeypatch):
    monkeypatch.setattr(negatives, "MENTIONS_AT_ONCE", 7)
    views = distinct_views(cached)
    found = nearest_wrong(cached, views, gold, cached.store)
    assert found.shape == (48, POOL)
    for mention in range(0, 48, 3):
        wrong = [e for e in views.rows if views.of_entity[e] != views.of_entity[gold[mention]]]
        near = sorted((nearness(cached, mention, e) for e in wrong), reverse=True)[:POOL]
        mine = [nearness(cached, mention, e) for e in found[mention]]
        np.testing.assert_allclose(mine, near, atol=1e-5)
        assert len(set(found[mention])) == POOL


def test_a_negative_never_looks_like_the_gold_entity(cached, gold):
    views = distinct_views(cached)
    found = nearest_wrong(cached, views, gold, cached.store)
    assert not (views.of_entity[found] == views.of_entity[gold][:, None]).any()


def test_the_last_negative_repeats_where_the_knowledge_base_is_small(cached, gold, monkeypatch):
    monkeypatch.setattr(negatives, "POOL", 40)
    views = distinct_views(cached)
    others = len(views) - 1
    found = nearest_wrong(cached, views, gold, cached.store)
    assert (found[:, others:] == found[:, [others - 1]]).all()
    for row, own in zip(found, gold, strict=True):
        assert set(row) == set(views.rows) - {views.rows[views.of_entity[own]]}


def test_entities_that_all_look_the_same_are_a_clear_error(cached, gold):
    for rows in (cached.text_rows, cached.image_rows):
        rows["entities"][:] = rows["entities"][0]
    with pytest.raises(MelovError, match="looks the same"):
        nearest_wrong(cached, distinct_views(cached), gold, cached.store)


@pytest.mark.parametrize("k", [1, 5, POOL])
def test_an_epoch_draws_different_places_of_each_mentions_pool(k):
    pool = torch.randperm(4 * POOL).view(4, POOL).numpy()
    draws = [_drawn(pool, k, np.random.default_rng([0, epoch])) for epoch in (0, 0, 1)]
    for draw in draws:
        for row, whole in zip(draw, pool, strict=True):
            assert len(set(row)) == k
            assert set(row) <= set(whole)
    np.testing.assert_array_equal(draws[0], draws[1])
    if k < POOL:
        assert (draws[0] != draws[2]).any()
    assert _drawn(None, k, np.random.default_rng(0)) is None
