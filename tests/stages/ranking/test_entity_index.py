import shutil
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cache.build import Build
from stages.config import TrainConfig
from stages.heads.baselines.build import build_heads
from stages.ranking import entity_index as module
from stages.ranking.entity_index import EntityIndex
from stages.ranking.rank import top_entities
from stages.runs.data import run_data
from tests.support.alike_world import World

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
    return EntityIndex.opened(
        folder / "one.zarr", folder / "work", run, world.model, world.data.cached, world.views, size
    )


def leaves(side):
    """Every tensor and matrix of a side, in order."""
    if is_dataclass(side):
        return [leaf for field in fields(side) for leaf in leaves(getattr(side, field.name))]
    return [] if side is None else [side]


def assert_same(a, b):
    assert len(leaves(a)) == len(leaves(b)) > 0
    for x, y in zip(leaves(a), leaves(b), strict=True):
        if isinstance(x, sp.csr_array):
            np.testing.assert_array_equal(x.toarray(), y.toarray())
        else:
            assert x.equal(y)


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@torch.inference_mode()
@pytest.mark.parametrize("units", UNITS, ids="+".join)
@pytest.mark.parametrize("size", [1, SIZE, 256])
def test_a_block_has_the_bits_that_the_model_gives(opened, tmp_path, units, size, monkeypatch):
    monkeypatch.setattr(module, "UNIT_BLOCKS", 2)
    world = World(opened, units, contained_scale=3.0 if "lexical" in units else 0.0)
    starts = []
    for _ in range(2):  # as it is written, and as it is opened again
        for start, side in index_of(world, tmp_path, size=size).blocks():
            rows = world.views.rows[start : start + size]
            assert_same(side, world.model.entities(world.data.cached.entities(rows)))
            starts.append(start)
    assert starts == [*range(0, len(world.views), size)] * 2


@torch.inference_mode()
def test_the_top_entities_are_those_without_an_index(world, tmp_path):
    sides = world.sides("test", 10)
    arguments = (world.model, world.data.cached, world.views, sides, 7, SIZE)
    assert top_entities(*arguments, index_of(world, tmp_path)) == top_entities(*arguments)


def test_it_is_written_once_and_anew_where_the_run_or_the_block_is_another(world, tmp_path):
    index_of(world, tmp_path)
    first = files(tmp_path / "one.zarr")
    index_of(world, tmp_path)
    assert files(tmp_path / "one.zarr") == first
    for changed in ({"run": "trained again"}, {"size": 2}):
        index_of(world, tmp_path, **changed)
        assert files(tmp_path / "one.zarr") != first
        assert list((tmp_path / "work").iterdir()) == []


@torch.inference_mode()
def test_a_chunk_file_that_is_cut_or_gone_makes_it_anew(world, tmp_path):
    for damage in (lambda path: path.write_bytes(b"short"), lambda path: path.unlink()):
        index = index_of(world, tmp_path)
        damage(next((tmp_path / "one.zarr" / "text" / "direction").glob("c.*")))
        for start, side in index_of(world, tmp_path).blocks():
            rows = world.views.rows[start : start + SIZE]
            assert_same(side, world.model.entities(world.data.cached.entities(rows)))
        assert index.size == SIZE


def test_killed_at_any_unit_it_goes_on_to_the_same_bytes(world, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    monkeypatch.setattr(module, "UNIT_BLOCKS", 2)
    index_of(world, tmp_path / "straight")
    want = {
        path.relative_to(tmp_path / "straight"): path.read_bytes()
        for path in (tmp_path / "straight").rglob("*")
        if path.is_file()
    }
    real, written = Build.write, []

    def write(writer, unit, parts, note=None):
        real(writer, unit, parts, note)
        written.append(unit)
        raise KilledError

    monkeypatch.setattr(Build, "write", write)
    for _ in range(50):
        try:
            index_of(world, tmp_path / "killed")
            break
        except KilledError:
            continue
    assert len(written) == len(set(written)) > 3  # no unit twice
    found = {
        path.relative_to(tmp_path / "killed"): path.read_bytes()
        for path in (tmp_path / "killed").rglob("*")
        if path.is_file()
    }
    assert found == want


def test_a_baseline_has_none(opened, tmp_path):
    config = TrainConfig(d_v=8, d_h=8, units=("text",))
    data, heads = run_data(opened, config, "bert", torch.device("cpu"))
    world = World(opened)
    world.model, world.data = build_heads(heads), data
    assert index_of(world, tmp_path) is None
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    assert list(tmp_path.iterdir()) == []
