"""`dvc repro` of the stage extract, as dvc.yaml has it: the older store is there to be updated, and
DVC keeps no copy of either."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cache.reader import FeatureStore
from stages.paths import DatasetPaths
from tests.support.bundles import flip
from tests.support.small_project import add_entities, build_bert, build_clip, tree, write_project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
    """A DVC repository with the stages encoders and extract alone."""
    paths = write_project(tmp_path, build_clip(tmp_path / "clip"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    stages = {name: stages[name] for name in ("encoders", "extract")}
    for stage in stages.values():
        stage["deps"] = [dep for dep in stage["deps"] if dep.startswith("data/")]
        stage["params"] = ["extract"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    dvc(tmp_path, "init", "--no-scm")
    return paths


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_dvc_repro_updates_the_store_and_keeps_no_copy_of_it(project: DatasetPaths):
    assert "reused" not in dvc(project.root, "repro")
    first = tree(project.store)
    assert next(project.store.glob("texts/local/c.*")).stat().st_nlink == 1

    add_entities(project)
    assert "reused 46 of 48 texts" in dvc(project.root, "repro")
    assert tree(project.store) != first
    assert "didn't change" in dvc(project.root, "repro")

    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("max_tokens: 20", "max_tokens: 9"))
    assert "it is rebuilt" in dvc(project.root, "repro")
    assert FeatureStore.open(project.store).attributes["max_tokens"] == 9
    assert list((project.root / ".dvc" / "cache").rglob("*.*")) == []


@pytest.mark.slow
def test_other_weights_of_a_further_encoder_make_its_store_again_and_no_other(
    project: DatasetPaths,
):
    root, params = project.root, project.root / "params.yaml"
    build_bert(root / "bert")
    params.write_text(
        params.read_text().replace("extract:", "extract:\n  text_encoders: {letters: bert}")
    )
    assert "letters.zarr: written" in dvc(root, "repro")
    assert "didn't change" in dvc(root, "repro")
    before, own = tree(project.store), tree(project.further_store("letters"))
    flip(root / "bert" / "model.safetensors")
    assert "letters.zarr: written" in dvc(root, "repro")
    assert tree(project.store) == before
    assert tree(project.further_store("letters")) != own
    assert "didn't change" in dvc(root, "repro")
