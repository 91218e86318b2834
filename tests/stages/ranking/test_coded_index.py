"""The index of a knowledge base that changes: only what is new is made, nothing dead stays long."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cache.build import Build
from stages.heads.matcher import UnitSides
from stages.heads.units.codes import Codes
from stages.ranking import coded_files as files
from stages.ranking import coded_index as module
from stages.ranking.coded_index import CodedIndex
from stages.ranking.content_keys import places
from tests.support.small_project import tree


class Kb:
    """Entities that are numbers, as an index sees them: `made` counts what it asks for."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.made = folder, []
        self.entities: list[int] = []
        monkeypatch.setattr(module, "content_keys", lambda cached, rows: self.keys(rows))

    def keys(self, rows):
        keys = np.zeros((len(rows), 32), np.uint8)
        for i, row in enumerate(rows):
            rng = np.random.default_rng(self.entities[row])
            keys[i] = rng.integers(0, 256, 32)
        return keys

    def make(self, rows):
        self.made += [self.entities[row] for row in rows]
        x = torch.tensor([[float(self.entities[row]), 1.0] for row in rows])
        return UnitSides({"cross": Codes.of(x)})

    def open(self, entities, run="run"):
        self.entities, self.made = list(entities), []
        views = SimpleNamespace(rows=np.arange(len(self.entities)))
        cached = SimpleNamespace(device=torch.device("cpu"))
        index = CodedIndex.opened(self.folder, run, self.make, cached, views, 3)
        self.made = self.made[1:]  # the first one shows what a side looks like
        rows = torch.cat([block.units["cross"].rows for block in index.blocks])
        held = rows[index.place][:, 0]
        want = torch.tensor([float(e) for e in self.entities])
        torch.testing.assert_close(held, want, rtol=1e-5, atol=0.0)
        assert index.made == len(self.made)
        assert index.rows == len(rows)
        return index


@pytest.fixture
def kb(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE_ROWS", 8)
    monkeypatch.setattr(files, "BLOCK_ROWS", 5)
    return Kb(tmp_path / "index", monkeypatch)


def test_what_is_there_is_not_made_again(kb):
    kb.open(range(1, 21))
    assert sorted(kb.made) == list(range(1, 21))
    before = tree(kb.folder)
    kb.open(range(1, 21))
    assert kb.made == []
    assert tree(kb.folder) == before


def test_only_what_is_new_is_made_whatever_the_order(kb):
    kb.open(range(1, 21))
    index = kb.open([30, *range(20, 1, -1), 31])
    assert sorted(kb.made) == [30, 31]
    assert index.rows == 22  # one of them is of no entity any more


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_parts_are_all_rows_in_their_order_and_no_copies(kb, rows):
    index = kb.open(range(1, 21))
    whole = torch.cat([block.units["cross"].codes for block in index.blocks])
    parts = [part.units["cross"].codes for part in index.parts(rows)]
    assert max(map(len, parts)) <= rows
    assert torch.equal(torch.cat(parts), whole)
    held = {block.units["cross"].codes.untyped_storage().data_ptr() for block in index.blocks}
    assert {part.untyped_storage().data_ptr() for part in parts} <= held


def test_views_are_the_rows_of_an_index_that_was_made_at_once(kb):
    assert kb.open(range(1, 21)).in_order
    assert not kb.open([*range(1, 21), 30][::-1]).in_order
    assert not kb.open(range(1, 20)).in_order  # a row of no entity is left


def test_two_entities_of_one_content_share_a_row(kb):
    index = kb.open([4, 4, 4, 7])
    assert sorted(kb.made) == [4, 7]
    assert index.place.tolist().count(int(index.place[0])) == 3


def test_what_is_dead_goes_once_it_is_a_fifth(kb):
    kb.open(range(1, 21))
    assert kb.open(range(1, 17)).rows == 20
    index = kb.open(range(1, 15))
    assert index.rows == 14
    assert kb.made == []
    kept = tree(kb.folder)
    assert kb.open(range(1, 15)).rows == 14
    assert tree(kb.folder) == kept


def test_what_was_removed_and_comes_back_while_it_is_there_is_not_made(kb):
    kb.open(range(1, 21))
    kb.open(range(1, 19))
    kb.open(range(1, 21))
    assert kb.made == []


def test_another_run_makes_all_of_it(kb):
    kb.open(range(1, 10))
    kb.open(range(1, 10), run="trained again")
    assert sorted(kb.made) == list(range(1, 10))
    assert kb.open(range(1, 10), run="trained again").rows == 9


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"short"), lambda p: p.unlink()])
def test_a_damaged_piece_is_made_again_alone(kb, damage):
    kb.open(range(1, 21))
    want = tree(kb.folder)
    hurt = sorted(kb.folder.glob("*.zarr"))[1]
    damage(next((hurt / "cross" / "codes").glob("c.*")))
    kb.open(range(1, 21))
    assert len(kb.made) in (4, 8)
    assert tree(kb.folder).keys() == want.keys()


def test_a_piece_under_another_ones_name_is_not_believed(kb):
    kb.open(range(1, 21))
    one, other, *_ = sorted(kb.folder.glob("*.zarr"))
    moved = one.rename(kb.folder / "moved.zarr")
    other.rename(one)
    moved.rename(other)
    kb.open(range(1, 21))
    assert len(kb.made) >= 12


def test_killed_at_any_piece_it_resumes_to_the_same_rows(kb, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    real = Build.write

    def write(build, *arguments):
        real(build, *arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Build, "write", write)
        for _ in range(3):
            with pytest.raises(KilledError):
                kb.open(range(1, 21))
    kb.open(range(1, 21))
    killed = tree(kb.folder)
    kb.folder = tmp_path / "straight"
    kb.open(range(1, 21))
    assert tree(kb.folder) == killed


def test_a_reader_keeps_its_index_while_it_is_made_anew(kb):
    index = kb.open(range(1, 21))
    before = [block.units["cross"].rows.clone() for block in index.blocks]
    kb.open(range(100, 130), run="another")
    for block, rows in zip(index.blocks, before, strict=True):
        assert block.units["cross"].rows.equal(rows)
    assert all(re.fullmatch("[0-9a-f]{32}", p.stem) for p in kb.folder.glob("*.zarr"))


def test_keys_that_agree_in_64_bits_alone_are_different():
    held = np.zeros((2, 32), np.uint8)
    held[1, 31] = 1  # in neither of the words that are compared first
    wanted = held[[1, 0]].copy()
    wanted[0, 30] = 9
    assert places(wanted, [held]).tolist() == [-1, 0]
    assert places(wanted, []).tolist() == [-1, -1]
