"""`train.spmm`: what multiplies by the graph's matrix is a choice, and changes no result."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from cache.errors import MelovError
from stages.ablation.grid import Grid, GridRun
from stages.ablation.run import ablate
from stages.config import EvaluateConfig, GraphConfig
from stages.paths import DatasetPaths
from stages.runs import fit as runs
from stages.runs.dataset import RunSpec
from tests.support.small_runs import short_run, small

INSTALLED = importlib.util.find_spec("torch_sparse") is not None


class SparseTensor:
    """As much of torch-sparse's as is asked for, dense."""

    def __init__(self, rowptr, col, value, sparse_sizes, is_sorted) -> None:
        assert is_sorted
        rows = torch.repeat_interleave(torch.arange(sparse_sizes[0]), rowptr.diff())
        self.dense = torch.zeros(sparse_sizes).index_put((rows, col), value)


def assert_close_runs(one, other):
    for a, b in zip(one.history, other.history, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    assert one.state.keys() == other.state.keys()


def test_torch_is_the_default_and_reads_no_torch_sparse(opened, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    assert small().spmm == "torch"
    trained, *_ = short_run(opened, tmp_path, "melov", epochs=1)
    assert len(trained.history) == 2  # and the start


def test_torch_sparse_is_what_multiplies_where_it_is_asked_for(opened, tmp_path, monkeypatch):
    products = []

    def matmul(matrix, x):
        products.append(x.shape)
        return matrix.dense @ x

    stand_in = SimpleNamespace(SparseTensor=SparseTensor, matmul=matmul)
    monkeypatch.setitem(sys.modules, "torch_sparse", stand_in)
    want, *_ = short_run(opened, tmp_path / "torch", "melov", epochs=2)
    assert products == []
    found, *_ = short_run(opened, tmp_path / "sparse", "melov", epochs=2, spmm="torch-sparse")
    assert products
    assert_close_runs(found, want)


@pytest.mark.skipif(not INSTALLED, reason="torch-sparse is not installed")
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # its own
def test_the_package_itself_gives_the_same_course(opened, tmp_path):
    want, *_ = short_run(opened, tmp_path / "torch", "melov", epochs=2)
    found, *_ = short_run(opened, tmp_path / "sparse", "melov", epochs=2, spmm="torch-sparse")
    assert_close_runs(found, want)


def test_without_it_a_run_says_so_before_any_work(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    with pytest.raises(MelovError, match="torch-sparse cannot be loaded") as caught:
        opened.heads(RunSpec.of("melov", 0, small(spmm="torch-sparse")))
    assert "melov-cache[torch-sparse]" in caught.value.hint
    assert "--set train.spmm=torch" in caught.value.hint
    opened.heads(RunSpec.of("mimic", 0, small(spmm="torch-sparse")))  # multiplies by no graph


def test_without_it_a_grid_trains_none_of_its_runs(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    monkeypatch.setattr(runs, "train", None)  # not to be called
    settings = (("torch", small()), ("sparse", small(spmm="torch-sparse")))
    made = [GridRun(name, "melov", train, GraphConfig(floor=0.05), {}) for name, train in settings]
    grid = Grid("spmm", "torch", (0,), tuple(made))
    with pytest.raises(MelovError, match="torch-sparse cannot be loaded"):
        ablate(DatasetPaths("tiny", root), grid, EvaluateConfig())
