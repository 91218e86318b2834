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
from tests.support.small_project import add_entities, build_clip, tree, write_project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetPaths:
    """A DVC repository with the stage extract alone."""
    paths = write_project(tmp_path, build_clip(tmp_path / "clip"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["extract"]
    stage["deps"] = [dep for dep in stage["deps"] if dep.startswith("data/")]
    stage["params"] = ["extract"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"extract": stage}}))
    paths.encoders.mkdir()
    for kind in ("text", "image"):
        (paths.encoders / kind).write_text("clip")
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
