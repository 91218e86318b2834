import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.heads.matcher import Scores
from stages.ranking import rank as module
from stages.ranking.rank import Wanted, rank_all
from stages.ranking.top import top_entities
from tests.support.alike_world import SAME, UNITS, N, World


@pytest.fixture(scope="module")
def world(opened):
    return World(opened)


def by_a_loop(total, gold):
    ranks = []
    for scores, own in zip(total, gold, strict=True):
        higher = sum(s > scores[own] for s in scores)
        equal = sum(s == scores[own] for i, s in enumerate(scores) if i != own)
        ranks.append(1 + higher + equal / 2)
    return np.array(ranks)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_ranks_equal_those_of_the_whole_score_matrix(world, split):
    total, _ = world.scores(split)
    gold = world.data.gold[split]
    gaps = np.abs(total - np.take_along_axis(total, gold[:, None], axis=1))
    assert gaps[gaps > 0].min() > 1e-4  # or rounding would decide
    np.testing.assert_array_equal(world.ranks(split), by_a_loop(total, gold.tolist()))


def test_some_golds_have_duplicates_and_halves_are_met(world):
    counts = world.views.counts[world.views.of_entity[world.data.gold["test"]]]
    assert (counts > 1).sum() > 2
    ranks = world.ranks()
    assert (ranks % 1 == 0.5).any()
    assert (ranks % 1 == 0).any()


@settings(deadline=None, max_examples=8)
@given(st.sampled_from([1, 5, 12]), st.integers(3, 30), st.sampled_from([3, 7, 99]))
def test_blocks_of_any_size_give_the_same_ranks(world, mention_rows, entity_rows, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MENTIONS_AT_ONCE", at_once)
        found = world.ranks("valid", None, mention_rows, entity_rows)
    np.testing.assert_array_equal(found, world.ranks("valid"))


def test_splits_ranked_together_get_the_ranks_that_each_has_alone(world):
    wanted = [
        Wanted(split, rows, world.data.gold[split][rows])
        for split, rows in (("test", np.arange(3, 20)), ("valid", np.arange(12)))
    ]
    config = EvaluateConfig(mention_rows=5)
    found = rank_all(world.model, world.data.inputs, world.views, wanted, config)
    np.testing.assert_array_equal(found[0], world.ranks("test", np.arange(3, 20)))
    np.testing.assert_array_equal(found[1], world.ranks("valid"))


def test_the_order_of_the_rows_does_not_matter(world):
    rows = np.random.default_rng(0).permutation(24)[:15]
    np.testing.assert_array_equal(world.ranks(rows=rows, mention_rows=4), world.ranks()[rows])


def test_ranks_of_no_mention_are_empty(world):
    assert world.ranks(rows=np.array([], dtype=np.int64)).shape == (0,)


def test_equal_scores_of_different_entities_count_one_half_each(opened, monkeypatch):
    """Scores rounded to whole numbers: ties all over the place."""
    world = World(opened, ("text",))
    pairs = world.model.matcher.pairs
    monkeypatch.setattr(
        world.model.matcher,
        "pairs",
        lambda *sides: Scores(pairs(*sides).total.round(), pairs(*sides).units),
    )
    total, _ = world.scores("test")
    distinct = [len(np.unique(row)) for row in total]
    assert max(distinct) < len(world.views)
    want = by_a_loop(total, world.data.gold["test"].tolist())
    for entity_rows in (1, 6, 256):
        np.testing.assert_array_equal(world.ranks("test", None, 5, entity_rows, screen=False), want)


def test_heads_that_tell_nothing_apart_rank_everything_in_the_middle(opened):
    world = World(opened, ("text", "vision"))
    for p in world.model.parameters():
        p.data.zero_()
    assert set(world.ranks(mention_rows=7, entity_rows=4)) == {1 + (N - 1) / 2}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_raises(opened, value):
    world = World(opened, ("text",))
    world.model.matcher.ln_t.bias.data[0] = value
    with pytest.raises(MelovError, match="not finite"):
        world.ranks()


@pytest.mark.parametrize("size", [1, 6, 256])
@pytest.mark.parametrize("k", [1, 5, N, N + 9])
def test_the_top_entities_are_those_of_the_sorted_score_matrix(world, k, size):
    total, units = world.scores("test")
    with torch.inference_mode():
        sides = world.sides("test", 10)
    found = top_entities(world.model, world.data.cached, world.views, sides, k, size)
    assert len(found) == len(total)
    for mention, candidates in enumerate(found):
        # Best first, copies by row; where copies are cut, the lowest rows stay.
        want = sorted(range(N), key=lambda e: (-total[mention, e], e))[:k]
        assert [c.entity for c in candidates] == want
        for c in candidates:
            assert c.score == pytest.approx(total[mention, c.entity], abs=1e-4)
            assert set(c.units) == set(UNITS)
            for unit, score in c.units.items():
                assert score == pytest.approx(units[unit][mention, c.entity], abs=1e-4)
            assert sum(c.units.values()) / 4 == pytest.approx(c.score, abs=1e-5)


def test_copies_of_an_entity_have_equal_scores_and_stand_in_order_of_their_rows(world):
    with torch.inference_mode():
        sides = world.sides("valid", 5)
    found = top_entities(world.model, world.data.cached, world.views, sides, N, 3)
    for candidates in found:
        place = {c.entity: i for i, c in enumerate(candidates)}
        for same in SAME:
            places = [place[e] for e in same]
            assert places == list(range(places[0], places[0] + len(same)))
            assert len({candidates[i].score for i in places}) == 1


def test_ranks_agree_with_the_places_among_the_top_entities(world):
    with torch.inference_mode():
        sides = world.sides("test", 24)
    found = top_entities(world.model, world.data.cached, world.views, sides, N, 9)
    total = np.empty((24, N))
    for mention, candidates in enumerate(found):
        for c in candidates:
            total[mention, c.entity] = c.score
    gold = world.data.gold["test"].tolist()
    np.testing.assert_array_equal(by_a_loop(total, gold), world.ranks())
