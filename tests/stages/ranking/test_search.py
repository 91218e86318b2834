"""The search for the best entities of an index finds what scoring every entity finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cache.errors import MelovError
from stages.ranking import search as module
from stages.ranking.coded_index import CodedIndex
from stages.ranking.search import Search, open_ranked
from stages.ranking.top import Scan, top_entities
from tests.support.alike_world import World

UNITS = [
    ("text", "vision", "cross", "lexical"),
    ("text", "vision", "cross"),
    ("text",),
    ("vision", "cross"),
    ("cross", "lexical"),
]
ALL = 28


def search_of(world, folder, size=5):
    return Search.opened(folder, "run", world.model, world.data.cached, world.views, size)


def assert_same(found, want):
    """Up to the last bits, by which entities of almost equal scores may change places."""
    for one, other in zip(found, want, strict=True):
        assert len(one) == len(other)
        scores = {c.entity: c for c in other}
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert a.score == pytest.approx(b.score, rel=1e-5, abs=1e-5), place
            if a.entity != b.entity and a.entity in scores:
                assert a.score == pytest.approx(scores[a.entity].score, rel=1e-5, abs=1e-5)
            if a.entity == b.entity:
                assert a.units == pytest.approx(b.units, rel=1e-4, abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("units", UNITS, ids="+".join)
def test_it_finds_what_scoring_all_finds(opened, tmp_path, units, monkeypatch):
    world = World(opened, units, contained_scale=3.0 if "lexical" in units else 0.0)
    sides, search = world.sides("test", 4), search_of(world, tmp_path)
    for k in (1, 5, ALL + 10):
        want = top_entities(world.model, world.data.cached, world.views, sides, k, 9)
        for first, more, rows in ((0, 0, 1), (3, 0, 5), (64, 4, 1 << 14)):
            monkeypatch.setattr(module, "FIRST", first)
            monkeypatch.setattr(module, "MORE", more)
            monkeypatch.setattr(module, "PAIRS_AT_ONCE", rows)
            monkeypatch.setattr(module, "LEAST_ROWS", rows)
            assert_same(search.top(sides, k), want)


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_heads(opened, tmp_path, seed):
    world = World(opened, frozen_scale=4.0, adapter="mlp", adapter_width=8)
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in world.model.parameters():
            p.mul_(1 + torch.randn_like(p)).add_(0.5 * torch.randn_like(p))
    sides = world.sides("test", 7)
    want = top_entities(world.model, world.data.cached, world.views, sides, 5, 9)
    assert_same(search_of(world, tmp_path).top(sides, 5), want)


@torch.inference_mode()
def test_copies_share_a_place_in_the_order_of_their_rows(opened, tmp_path):
    world = World(opened)
    found = search_of(world, tmp_path).top(world.sides("test", 100), ALL)
    for best in found:
        order = [(-c.score, c.entity) for c in best]
        assert order == sorted(order)
        assert sorted(c.entity for c in best) == list(range(ALL))


@torch.inference_mode()
def test_rows_in_another_order_than_the_views_find_the_same(opened, tmp_path):
    world = World(opened)
    sides, search = world.sides("test", 4), search_of(world, tmp_path)
    (block,) = search.index.blocks
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(search.index.place)))
    moved = CodedIndex([block.take(order)], order.argsort()[search.index.place], 0)
    assert (search.index.in_order, moved.in_order) == (True, False)
    want = top_entities(world.model, world.data.cached, world.views, sides, 5, 9)
    assert_same(replace(search, index=moved).top(sides, 5), want)


@torch.inference_mode()
def test_few_entities_are_scored(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST", 2)
    monkeypatch.setattr(module, "MORE", 1)
    world = World(opened, ("vision", "cross"))
    search = search_of(world, tmp_path)
    scored = []
    whole = search.sides.whole
    monkeypatch.setattr(search.sides, "whole", lambda rows: scored.append(len(rows)) or whole(rows))
    for side in world.sides("test", 1):
        search.top([side], 1)
    assert np.mean(scored) < len(world.views) / 2


@torch.inference_mode()
def test_heads_that_have_diverged_are_told_of(opened, tmp_path):
    world = World(opened)
    search = search_of(world, tmp_path)
    with torch.no_grad():
        world.model.matcher.units["cross"].ln_r.bias.fill_(float("nan"))
    with pytest.raises(MelovError, match="not finite"):
        search.top(world.sides("test", 3), 2)


@torch.inference_mode()
@pytest.mark.parametrize("folder", [None, "index"])
def test_who_opens_a_knowledge_base_gets_what_its_heads_allow(opened, tmp_path, folder):
    world = World(opened)
    where = None if folder is None else tmp_path / folder
    ranked = open_ranked(where, "run", world.model, world.data.cached, world.views, 5)
    assert isinstance(ranked, Scan if folder is None else Search)
    world = World(opened, ("lexical",))  # which reads nothing that could be kept in eight bits
    ranked = open_ranked(where, "run", world.model, world.data.cached, world.views, 5)
    assert isinstance(ranked, Scan)
    sides = world.sides("test", 4)
    want = top_entities(world.model, world.data.cached, world.views, sides, 5, 5)
    assert ranked.top(sides, 5) == want


@torch.inference_mode()
def test_an_index_in_memory_is_of_few_bytes_an_entity(opened, tmp_path):
    index = search_of(World(opened), tmp_path).index
    assert isinstance(index, CodedIndex)
    numbers = sum(
        a.numel() * a.element_size() for block in index.blocks for a in block.to_arrays().values()
    )
    wide = sum(
        a.numel() * 4
        for block in index.blocks
        for a in block.to_arrays().values()
        if a.dtype == torch.int8
    )
    assert numbers < 0.75 * wide + 200 * index.rows
