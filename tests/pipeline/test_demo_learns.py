"""Every variant that is trained learns something on the embedded data set as users have it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pipeline.demo import main as demo
from pipeline.demo_encoder import main as demo_encoder
from pipeline.demo_vilt import main as demo_vilt
from pipeline.extract import main as extract
from pipeline.graph import main as graph
from pipeline.joint import main as joint
from pipeline.prepare import main as prepare
from stages.config import Params, load_params
from stages.heads.variants import VARIANTS
from stages.paths import DatasetPaths
from stages.ranking.metrics import metrics
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import execute
from stages.runs.folder import RunFolder
from stages.training.train import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SETTINGS = Path(__file__).resolve().parents[2] / "params.yaml"
TRAINED = [name for name, entry in VARIANTS.items() if entry.trained]
EPOCHS = 2
MARGIN = 0.05
"""Of validation MRR."""


@dataclass(frozen=True)
class Demo:
    dataset: Dataset
    params: Params


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Demo:
    root = tmp_path_factory.mktemp("demo")
    shutil.copy(SETTINGS, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for command in (demo, demo_encoder, demo_vilt, prepare, extract, graph):
            run(command)
        run(joint, "--encoder", "data/demo/vilt")
        return Demo(Dataset.open(DatasetPaths("demo", root)), load_params(SETTINGS, "demo"))


def run(command, *arguments) -> None:
    result = CliRunner().invoke(command, ["--dataset", "demo", *arguments])
    assert result.exit_code == 0, result.output


def valid_mrr(model, data, params: Params) -> float:
    gold = data.gold["valid"]
    rows = np.arange(len(gold))
    ranks = rank_gold(model.eval(), data.inputs, data.views, "valid", rows, gold, params.evaluate)
    return metrics(ranks, len(data.views.of_entity))["mrr"]


@pytest.mark.parametrize("variant", TRAINED)
def test_two_epochs_on_the_demo_beat_the_variants_own_initial_weights(made, tmp_path, variant):
    settings = made.params.train.model_copy(update={"epochs": EPOCHS, "device": "cpu"})
    spec = RunSpec.of(variant, 0, settings)
    heads = made.dataset.heads(spec)
    data = made.dataset.data(heads, spec.train, torch.device("cpu"))
    trained = train(data, heads, spec.train, made.params.evaluate, 0, tmp_path)
    torch.manual_seed(0)
    model = heads.entry.build(heads)
    before = valid_mrr(model, data, made.params)
    model.load_state_dict(trained.state)
    after = valid_mrr(model, data, made.params)
    assert after > before + MARGIN, f"from {before:.3f} to {after:.3f}"


def test_a_tenth_of_nil_mentions_is_told_with_probabilities_that_hold_on_test(made, tmp_path):
    spec = RunSpec.of("melov", 0, made.params.train.model_copy(update={"device": "cpu"}))
    folder = RunFolder(tmp_path / "melov-s0", "train it")
    said = execute(spec, made.dataset, folder, made.params.evaluate)["probability"]
    valid, test = said["valid"], said["test"]
    assert test["nil_mentions"] == pytest.approx(0.1 * test["mentions"], rel=0.05)
    assert test["ece"] < 0.05
    assert valid["precision"] >= 0.95
    low, high = valid["precision_interval"]
    assert low <= test["precision"] <= high
