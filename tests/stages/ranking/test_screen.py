import numpy as np
import pytest

from cache.errors import MelovError
from stages.config import EvaluateConfig
from stages.heads.units.text import TextUnit
from stages.ranking import screen as module
from stages.ranking.rank import rank_gold
from tests.support.alike_world import N, World


@pytest.fixture(
    params=[
        (("text",), {}),
        (("text", "lexical"), {"frozen_scale": 6.0, "contained_scale": 3.0}),
        (("text", "vision", "cross", "lexical"), {}),
    ]
)
def world(request, opened):
    units, more = request.param
    return World(opened, units, **more)


@pytest.mark.parametrize(
    ("alone", "whole"),
    [(-1.0, -1.0), (-1.0, 2.0), (2.0, 2.0), (0.2, 0.5)],  # blocks, rows, pairs, all of them
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_screened_ranks_are_those_of_all_scores(world, split, alone, whole, monkeypatch):
    monkeypatch.setattr(module, "ALONE", alone)
    monkeypatch.setattr(module, "WHOLE", whole)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    want = world.ranks(split, screen=False)
    for mention_rows, entity_rows in ((32, 256), (5, 9)):
        found = world.ranks(split, None, mention_rows, entity_rows)
        np.testing.assert_array_equal(found, want)


def test_settled_pairs_get_no_attention(opened, monkeypatch):
    """With gold entities far ahead on the global score, the bound leaves next to nothing open."""
    world = World(opened, ("text",))
    seen = []
    at, whole = TextUnit.costly_at, TextUnit.costly

    def noted_at(self, mentions, entities, i, j):
        seen.append(len(i))
        return at(self, mentions, entities, i, j)

    def noted(self, mentions, entities):
        seen.append(len(mentions.t) * len(entities.query))
        return whole(self, mentions, entities)

    monkeypatch.setattr(TextUnit, "costly_at", noted_at)
    rows, gold = np.arange(24), world.data.gold["test"]
    total, _ = world.scores("test")
    best = total.argmax(1)  # rank 1 by definition, so little can reach the gold score
    config = EvaluateConfig(mention_rows=4, entity_rows=N)
    monkeypatch.setattr(TextUnit, "costly", noted)
    far = rank_gold(world.model, world.data.inputs, world.views, "test", rows, best, config)
    open_for_best = sum(seen)
    seen.clear()
    rank_gold(world.model, world.data.inputs, world.views, "test", rows, gold, config)
    assert open_for_best < sum(seen)
    assert far.max() <= 2  # copies of the best one tie with it


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["units.text.w_q.bias", "units.text.w_u.weight", "ln_t.bias"])
def test_a_score_that_is_no_number_raises_with_the_screen_too(opened, name, value):
    world = World(opened, ("text",))
    parameter = dict(world.model.matcher.named_parameters())[name]
    parameter.data.view(-1)[0] = value
    with pytest.raises(MelovError, match="not finite"):
        world.ranks()
