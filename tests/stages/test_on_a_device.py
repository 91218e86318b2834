"""The heads, extraction and linking on each device that there is: what the CPU gives, the same bits
each time, and no waiting. `make test-gpu` runs these on CUDA."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from cache.reader import FeatureStore
from pipeline import Linker, Mention
from stages.config import EvaluateConfig, load_params
from stages.encode.extract import extract
from stages.features.stored import whole
from stages.features.views import Views
from stages.paths import DatasetPaths
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset, RunSpec
from stages.training.step import Losses, load_batch, train_step
from stages.training.train import train
from tests.support.small_runs import assert_equal_runs, small
from tests.support.tiny_project import own_world, run
from tests.support.waits import no_waits

VARIANTS = ("melov", "mimic", "ghmfc")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda":
        assert torch.cuda.is_available(), "make test-gpu is for a machine with a CUDA device"
    return torch.device(request.param)


@contextmanager
def never_waiting(device: torch.device) -> Iterator[None]:
    if device.type == "cpu":
        with no_waits():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def prepared(opened: Dataset, variant: str, device: torch.device, **changes):
    """A run's configuration, heads' configuration and data, on the device."""
    spec = RunSpec.of(variant, 0, small(device=device.type, **changes))
    heads = opened.heads(spec)
    return spec.train, heads, opened.data(heads, spec.train, device)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_on_it_never_waits(opened, device, variant, precision):
    config, heads, data = prepared(opened, variant, device, precision=precision)
    model = heads.entry.build(heads).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    rows, gold = np.arange(12), data.gold["train"]
    batch = load_batch(data.inputs, rows, gold[rows])
    train_step(model, optimizer, batch, config)  # what is done once a process
    losses = Losses("a test")
    with never_waiting(device):
        for _ in range(3):
            losses.add(train_step(model, optimizer, batch, config), 1 / 3)
    assert np.isfinite(losses.read()["loss"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_on_it_gives_the_same_bits_again_and_the_cpus_losses(
    opened, device, variant, tmp_path
):
    config, heads, data = prepared(opened, variant, device)
    runs = [train(data, heads, config, EvaluateConfig(), 0, tmp_path / n) for n in "ab"]
    assert_equal_runs(*runs)
    own, its_heads, its_data = prepared(opened, variant, torch.device("cpu"))
    want = train(its_data, its_heads, own, EvaluateConfig(), 0, tmp_path / "cpu")
    # After an epoch the two have gone different ways by their last bits.
    assert runs[0].history[1]["loss"] == pytest.approx(want.history[1]["loss"], rel=2e-3)


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_ranks_on_it_are_the_cpus(opened, device, variant, screen, tmp_path):
    _, heads, data = prepared(opened, variant, device)
    torch.manual_seed(0)
    model = heads.entry.build(heads).eval()
    *_, its_data = prepared(opened, variant, torch.device("cpu"))
    rows, gold = np.arange(len(data.gold["test"])), data.gold["test"]
    config = EvaluateConfig(screen=screen, mention_rows=5, entity_rows=7)

    def ranks(on: torch.device, of, views: Views) -> np.ndarray:
        return rank_gold(model.to(on), of.inputs, views, "test", rows, gold, config)

    want = ranks(torch.device("cpu"), its_data, its_data.views)
    found = ranks(device, data, data.views)
    again = ranks(device, data, data.views)
    np.testing.assert_array_equal(found, again)
    # A last bit decides where two entities score all but the same.
    assert (np.abs(found - want) <= 1).all()
    assert (found == want).mean() > 0.9


def test_features_made_on_it_are_the_cpus_but_for_rounding(device, root, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    shutil.copytree(root / "data/tiny/records", paths.records)
    (paths.path / "raw").symlink_to(root / "data/tiny/raw")
    config = load_params(root / "params.yaml", "tiny").extract
    changed = {"device": device.type, "dtype": "float32", "text_encoder": str(root / "clip")}
    extract(paths, config.model_copy(update=changed))
    made, of_cpu = (
        FeatureStore.open(paths.store),
        FeatureStore.open(root / "data/tiny/features.zarr"),
    )
    for array in ("texts/global", "images/global", "images/local"):
        mine, theirs = (whole(store, array).astype(np.float64) for store in (made, of_cpu))
        mine, theirs = mine.reshape(len(mine), -1), theirs.reshape(len(theirs), -1)
        lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
        assert ((mine * theirs).sum(1) >= 0.9999 * lengths).all()


def test_links_on_it_are_the_cpus(device, tmp_path_factory, tmp_path, monkeypatch):
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path / "world")
    monkeypatch.chdir(root)
    run("train", "--variant", "melov", "--set", "train.epochs=1", "--set", "train.device=cpu")
    asked = [
        Mention("Ada", "Ada at the river", image=Path("data/tiny/raw/pictures/m0.png")),
        Mention("Ada", "the tower of Ada"),
    ]
    scores = []
    for name in (device.type, "cpu"):
        linker = Linker.load("runs/tiny/melov-s0", index=False, device=name)
        scores.append([{e.id: e.score for e in one.entities} for one in linker.link(asked, top=28)])
    for mine, theirs in zip(*scores, strict=True):
        assert mine == pytest.approx(theirs, abs=2e-2)
