"""Sides of a few entities, read from an index, are those that the model makes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.errors import StoreError
from stages.heads.matcher import UnitSides
from stages.heads.side import Ragged
from stages.ranking import entity_index as module
from stages.ranking import entity_sides
from stages.ranking.content_keys import content_keys
from stages.ranking.entity_index import EntityIndex
from stages.ranking.entity_sides import HeldSides, MadeSides, StoredSides
from stages.ranking.search import Search
from stages.ranking.stored import stored_index, stored_ranked
from stages.ranking.top import top_entities
from tests.stages.ranking.test_search import assert_same
from tests.support.alike_world import World

UNITS = ("text", "vision", "cross", "lexical")
SIZE = 4


@pytest.fixture(scope="module")
def world(opened):
    return World(opened, UNITS, contained_scale=3.0)


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """An index of three pieces, and one of codes."""
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_BLOCKS", 2)
        arguments = (world.model, world.data.cached, world.views, SIZE)
        EntityIndex.opened(folder / "sides", "run", *arguments)
        Search.opened(folder / "codes", "run", *arguments)
    assert len(list((folder / "sides").glob("*.zarr"))) > 2
    return folder


@torch.inference_mode()
def like(world):
    return world.model.entities(world.data.cached.entities(world.views.rows[:1]))


def opened_index(world, folder):
    return stored_index(
        folder / "sides", "run", like(world), len(world.views), torch.device("cpu"), "the hint"
    )


def assert_close(one, other):
    a, b = one.to_arrays(), other.to_arrays()
    assert a.keys() == b.keys() != set()
    for name, x in a.items():
        y = b[name]
        if isinstance(x, Ragged):
            assert x.offsets.equal(y.offsets), name
            x, y = x.values, y.values
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=4))
def test_what_is_held_was_made_once(world, asked):
    asked = [np.array(views, dtype=np.int64) % len(world.views) for views in asked]
    made = MadeSides(world.model, world.data.cached, world.views)
    counted = _Counted(made)
    held = HeldSides(counted, len(world.views), torch.device("cpu"))
    for views in asked:
        assert_close(held.whole(views), made.whole(views))
        one = UnitSides({"text": held.unit("text", views)})
        assert_close(one, UnitSides({"text": made.unit("text", views)}))
    every = np.unique(np.concatenate(asked)).tolist()
    assert sorted(counted.wholes) == every
    assert sorted(counted.units) == every


class _Counted:
    def __init__(self, source):
        self.source, self.wholes, self.units = source, [], []

    def whole(self, views):
        self.wholes += views.tolist()
        return self.source.whole(views)

    def unit(self, name, views):
        self.units += views.tolist()
        return self.source.unit(name, views)


@torch.inference_mode()
@settings(max_examples=20)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(1, 13))
def test_any_views_in_any_order(world, folder, views, alike):
    views = np.array(views, dtype=np.int64) % len(world.views)
    stored = StoredSides(opened_index(world, folder))
    made = MadeSides(world.model, world.data.cached, world.views)
    assert_close(stored.whole(views), made.whole(views))
    one = UnitSides({"text": stored.unit("text", views)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entity_sides, "ALIKE", alike)
        assert_close(one, UnitSides({"text": made.unit("text", views)}))


def ranked(world, folder, **changed):
    keys = content_keys(world.data.cached, world.views.rows)
    given = {"run": "run", "views": world.views, "keys": keys, **changed}
    return stored_ranked(
        folder / "sides", folder / "codes", given["run"], world.model, like(world),
        given["views"], given["keys"], torch.device("cpu"), "the hint",
    )  # fmt: skip


@torch.inference_mode()
def test_what_is_stored_is_searched_as_what_is_made(world, folder):
    sides = world.sides("test", 5)
    want = top_entities(world.model, world.data.cached, world.views, sides, 6, SIZE)
    search = ranked(world, folder)
    assert isinstance(search, Search)
    assert_same(search.top(sides, 6), want)


def test_what_is_of_another_run_or_lacks_entities_is_told(world, folder, tmp_path):
    with pytest.raises(StoreError, match="of another index") as found:
        ranked(world, folder, run="trained again")
    assert found.value.hint == "the hint"
    other = content_keys(world.data.cached, world.views.rows)
    other[3] += 1
    with pytest.raises(StoreError, match="lacks 1 entities"):
        ranked(world, folder, keys=other)
    for path in sorted((folder / "sides").glob("*.zarr"))[:2]:
        (tmp_path / "sides").mkdir(exist_ok=True)
        (tmp_path / "sides" / path.name).symlink_to(path)
    with pytest.raises(StoreError, match=r"has 16 of \d+ entities"):
        opened_index(world, tmp_path)
    (tmp_path / "sides/00000000.zarr").unlink()
    with pytest.raises(StoreError, match="of another index"):
        opened_index(world, tmp_path)
