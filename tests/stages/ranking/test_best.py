import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.heads.units.text import TextUnit
from stages.ranking import best as module
from stages.ranking.best import best_scores
from stages.ranking.rank import Wanted
from tests.support.alike_world import N, World


def found_of(world, k, **config):
    own = world.data.gold["test"]
    wanted = [
        Wanted("test", np.arange(len(own)), own),
        Wanted("valid", np.array([3, 0]), np.array([-1, -1])),
        Wanted("train", np.zeros(0, np.int64), np.zeros(0, np.int64)),
    ]
    return best_scores(
        world.model, world.data.inputs, world.views, wanted, k, EvaluateConfig(**config)
    )


@pytest.fixture(params=[("text",), ("text", "vision", "cross", "lexical"), ("cross",)])
def world(request, opened):
    return World(opened, request.param)


@pytest.mark.parametrize("config", [{}, {"mention_rows": 5, "entity_rows": 4}, {"screen": False}])
@pytest.mark.parametrize(("k", "plain"), [(1, 0), (6, 0), (3, 2), (N + 5, 64)])
def test_the_best_scores_are_those_of_all_scores(world, k, plain, config, monkeypatch):
    monkeypatch.setattr(module, "PLAIN", plain)
    test, valid, none = found_of(world, k, **config)
    total, _ = world.scores("test")
    assert (len(none), len(valid)) == (0, 2)
    for row, own in enumerate(total):
        want = np.full(k, -np.inf)
        want[: min(k, N)] = -np.sort(-own)[:k]
        np.testing.assert_allclose(test.scores[row], want, rtol=1e-4, atol=1e-4)
        there = min(k, N)
        assert test.entity[row] == own.argmax()  # the lowest among equals
        assert len({*test.entities[row, :there].tolist()}) == there
        np.testing.assert_allclose(own[test.entities[row, :there]], want[:there], atol=1e-4)
        assert (test.entities[row, there:] == -1).all()
        pairs = [*zip(-test.scores[row, :there], test.entities[row, :there], strict=True)]
        assert pairs == sorted(pairs)
    all_valid, _ = world.scores("valid")
    np.testing.assert_allclose(valid.scores[0, 0], all_valid[3].max(), rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("plain", [0, 2, 64])
def test_terms_are_what_the_scores_are_the_sums_of(opened, plain, monkeypatch):
    monkeypatch.setattr(module, "PLAIN", plain)
    units = ("text", "vision", "cross", "lexical")
    world = World(opened, units, frozen_scale=4.0, contained_scale=3.0)
    test, *_ = found_of(world, 5, mention_rows=5, entity_rows=4)
    assert test.names == ("text", "frozen", "vision", "cross", "ngrams", "contained")
    assert test.names == world.model.matcher.term_names
    rows = np.arange(len(test))
    side, _ = world.model.mentions(world.data.inputs.batch("test", rows))
    entities = world.model.entities(world.data.cached.entities(np.arange(N)))
    plainly = world.model.matcher.pairs(side, entities).terms
    for at, name in enumerate(test.names):
        want = np.take_along_axis(plainly[name].numpy(), test.entities, 1)
        np.testing.assert_allclose(test.terms[..., at], want, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(test.terms.sum(2) / len(units), test.scores, rtol=1e-4, atol=1e-4)


def test_most_pairs_get_no_attention_once_better_ones_are_known(opened, monkeypatch):
    world, seen = World(opened, ("text",)), []
    at, whole = TextUnit.costly_at, TextUnit.costly

    def noted_at(self, mentions, entities, i, j):
        seen.append(len(i))
        return at(self, mentions, entities, i, j)

    def noted(self, mentions, entities):
        seen.append(len(mentions.t) * len(entities.query))
        return whole(self, mentions, entities)

    monkeypatch.setattr(TextUnit, "costly_at", noted_at)
    monkeypatch.setattr(TextUnit, "costly", noted)
    monkeypatch.setattr(module, "PLAIN", 0)
    found_of(world, 1, mention_rows=4, entity_rows=2)
    for_one = sum(seen)
    seen.clear()
    found_of(world, N, mention_rows=4, entity_rows=2)
    assert for_one < sum(seen) == 26 * len(world.views)


def test_a_score_that_is_no_number_raises(opened):
    world = World(opened, ("text",))
    dict(world.model.matcher.named_parameters())["ln_t.bias"].data.view(-1)[0] = float("nan")
    with pytest.raises(MelovError, match="not finite"):
        found_of(world, 3)
