import contextlib
import csv
import json
import shutil

import pytest
from click.testing import CliRunner

from pipeline.ablate import main as ablate
from pipeline.evaluate import main as evaluate
from pipeline.link import main as link
from pipeline.train import main as train
from stages.config import TrainConfig
from stages.heads.variants import VARIANTS

BASELINES = [name for name, entry in VARIANTS.items() if not entry.has_units]


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """A project of its own: other tests keep their runs in the shared one."""
    project = tmp_path_factory.mktemp("baselines")
    shutil.copytree(root, project, dirs_exist_ok=True)
    shutil.rmtree(project / "runs", ignore_errors=True)
    return project


def invoke(project, command, *arguments):
    with contextlib.chdir(project):
        return CliRunner().invoke(command, ["--dataset", "tiny", *arguments])


def call(project, command, *arguments):
    result = invoke(project, command, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("variant", BASELINES)
def test_a_baseline_goes_through_train_evaluate_and_link(project, variant):
    for _ in range(2):  # a second time over the files of the first
        said = call(project, train, "--variant", variant)
    assert ("nothing to train" in said) == (not VARIANTS[variant].trained)
    said = call(project, evaluate, "--variant", variant)
    run = project / f"runs/tiny/{variant}-s0"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["variant"], metrics["test"]["mentions"]) == (variant, 24)
    assert 0 < metrics["test"]["mrr"] <= 1
    assert f"MRR {metrics['test']['mrr']:.4f}" in said
    files = "config.json history.csv history.png metrics.json model.safetensors ranks.npz"
    assert {*files.split(), "probabilities.npz", "predictions.csv", "timings.json"} == {
        path.name for path in run.iterdir()
    }
    config = json.loads((run / "config.json").read_text())
    assert tuple(config["train"]["units"]) == TrainConfig(preset="paper").units  # unused
    assert config["heads"]["units"] == []
    assert config["train"]["hard_negatives"] == (variant == "blink")
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert len(rows) == (3 if VARIANTS[variant].trained else 0)

    picture = ["--image", "data/tiny/raw/pictures/e0.png"]
    new = ["--mention", "Ada", "--sentence", "Ada at the river", "--json", *picture]
    if VARIANTS[variant].joint:
        refused = invoke(project, link, "--variant", variant, *new)
        assert refused.exit_code == 1
        assert "new mentions would need the joint encoder" in refused.output
        return
    linked = json.loads(call(project, link, "--variant", variant, *new))
    assert len(linked["entities"]) == 5
    assert linked["has_image"] == ("pictures" in VARIANTS[variant].reads)
    scores = [entity["score"] for entity in linked["entities"]]
    assert scores == sorted(scores, reverse=True)
    if variant == "tfidf":
        assert all(entity["name"].startswith("Ada") for entity in linked["entities"])


@pytest.mark.parametrize("variant", [name for name in BASELINES if VARIANTS[name].trained])
def test_a_baseline_trains_with_the_default_preset(project, variant):
    call(project, train, "--variant", variant, "--seed", "1", "--set", "train.preset=strong")
    config = json.loads((project / f"runs/tiny/{variant}-s1/config.json").read_text())
    assert config["train"]["hard_negatives"] == TrainConfig(preset="strong").hard_negatives > 0


def test_a_grid_of_baselines_gives_the_metrics_of_single_runs(project):
    (project / "grid.yaml").write_text("product: {variant: [tfidf, blink, ghmfc, vilt, mimic]}\n")
    said = call(project, ablate, "--grid", "grid.yaml")
    folder = project / "ablations/tiny/grid"
    for variant in ("tfidf", "blink", "ghmfc", "vilt"):
        assert f"| {variant}" in said
        call(project, train, "--variant", variant)
        call(project, evaluate, "--variant", variant)
        ours = json.loads((folder / f"{variant}-s0/metrics.json").read_text())
        single = json.loads((project / f"runs/tiny/{variant}-s0/metrics.json").read_text())
        assert ours["test"] == single["test"]
    again = call(project, ablate, "--grid", "grid.yaml")
    assert again == said
