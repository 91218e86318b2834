import numpy as np
import pytest
import torch

from cache.build import Build
from stages.heads.side import Ragged
from stages.heads.variants import VARIANTS
from stages.ranking import entity_index as module
from stages.ranking.entity_index import EntityIndex
from stages.ranking.top import top_entities
from tests.support.alike_world import World
from tests.support.small_project import tree
from tests.support.small_runs import run_data, small

UNITS = [
    ("text", "vision", "cross", "lexical"),
    ("text",),
    ("vision", "cross"),
    ("text", "lexical"),
]
SIZE = 3


@pytest.fixture(scope="module")
def world(opened):
    return World(opened)


def index_of(world, folder, run="run", size=SIZE):
    return EntityIndex.opened(folder, run, world.model, world.data.cached, world.views, size)


def assert_same(a, b):
    one, other = a.to_arrays(), b.to_arrays()
    assert one.keys() == other.keys() != set()
    for name, x in one.items():
        y = other[name]
        if isinstance(x, Ragged):
            assert x.offsets.equal(y.offsets), name
            assert x.values.equal(y.values), name
        else:
            assert x.equal(y), name


def assert_is_the_models(world, index, size=SIZE):
    starts = []
    for start, side in index.blocks():
        rows = world.views.rows[start : start + size]
        assert_same(side, world.model.entities(world.data.cached.entities(rows)))
        starts.append(start)
    assert starts == list(range(0, len(world.views), size))


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@torch.inference_mode()
@pytest.mark.parametrize("units", UNITS, ids="+".join)
@pytest.mark.parametrize("size", [1, SIZE, 256])
def test_a_block_has_the_bits_that_the_model_gives(opened, tmp_path, units, size, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BLOCKS", max(2, 9 // size))
    world = World(opened, units, contained_scale=3.0 if "lexical" in units else 0.0)
    for _ in range(2):  # as it is written, and as it is opened again
        assert_is_the_models(world, index_of(world, tmp_path, size=size), size)


@torch.inference_mode()
@pytest.mark.parametrize(
    "variant", [n for n, v in VARIANTS.items() if not v.has_units and not v.joint]
)
def test_a_baseline_has_one_too(opened, tmp_path, variant):
    world = World(opened)
    data, heads = run_data(opened, small(), variant)
    world.model, world.data, world.views = heads.entry.build(heads).eval(), data, data.views
    index = index_of(world, tmp_path)
    assert_is_the_models(world, index)
    side, _ = world.model.mentions(data.inputs.batch("test", np.arange(5)))
    arguments = (world.model, data.cached, data.views, [side], 7, SIZE)
    assert top_entities(*arguments, index) == top_entities(*arguments)


@torch.inference_mode()
def test_the_top_entities_are_those_without_an_index(world, tmp_path):
    sides = world.sides("test", 10)
    arguments = (world.model, world.data.cached, world.views, sides, 7, SIZE)
    assert top_entities(*arguments, index_of(world, tmp_path)) == top_entities(*arguments)


def test_it_is_written_once_and_anew_where_the_run_or_the_block_is_another(
    world, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "PIECE_BLOCKS", 2)
    index_of(world, tmp_path)
    first = times(tmp_path)
    assert len(list(tmp_path.glob("*.zarr"))) == -(-len(world.views) // (2 * SIZE)) > 2
    index_of(world, tmp_path)
    assert times(tmp_path) == first
    for changed, size in (({"run": "trained again"}, SIZE), ({"size": 2}, 2)):
        index = index_of(world, tmp_path, **changed)
        assert not times(tmp_path).items() & first.items()
        pieces = list(range(0, len(world.views), 2 * size))  # and none of another size is left
        assert sorted(int(path.stem) for path in tmp_path.glob("*.zarr")) == pieces
        assert_is_the_models(world, index, size)
        del index  # which holds the pieces that were replaced open
        index_of(world, tmp_path, **changed)
        assert not [path for path in (tmp_path / ".partial").rglob("*") if path.is_file()]


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"short"), lambda p: p.unlink()])
def test_a_piece_with_a_file_that_is_cut_or_gone_is_rebuilt_alone(
    world, tmp_path, monkeypatch, damage
):
    monkeypatch.setattr(module, "PIECE_BLOCKS", 2)
    index_of(world, tmp_path)
    want, before = tree(tmp_path), times(tmp_path)
    hurt = sorted(tmp_path.glob("*.zarr"))[1]
    damage(next((hurt / "text" / "direction").glob("c.*")))
    with torch.inference_mode():
        assert_is_the_models(world, index_of(world, tmp_path))
    assert tree(tmp_path) == want
    after = times(tmp_path)
    changed = {path.relative_to(tmp_path).parts[0] for path in after if after[path] != before[path]}
    assert changed == {hurt.name}


def test_killed_at_any_piece_it_resumes_to_the_same_bytes(world, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    monkeypatch.setattr(module, "PIECE_BLOCKS", 2)
    index_of(world, tmp_path / "straight")
    pieces = len(list((tmp_path / "straight").glob("*.zarr")))
    real, written = Build.write, []

    def write(build, unit, parts, note=None):
        real(build, unit, parts, note)
        written.append(build.target)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Build, "write", write)
        for _ in range(pieces):
            with pytest.raises(KilledError):
                index_of(world, tmp_path / "killed")
    index_of(world, tmp_path / "killed")
    assert tree(tmp_path / "killed") == tree(tmp_path / "straight")
