import contextlib

import pytest

from stages.config import load_params
from stages.datasets.records import Records
from stages.encode.joint import extract_joint
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from tests.support.tiny_vilt import build_vilt
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The tiny world with joint vectors beside its store."""
    root = tiny_world(tmp_path_factory.getbasetemp())
    paths = DatasetPaths("tiny", root)
    names = Records.load(paths.records).entities["name"].to_pylist()
    vilt = build_vilt(root / "vilt", " ".join(names).split())
    with contextlib.chdir(root):  # the records name their pictures' folder from there
        extract_joint(paths, load_params("params.yaml", "tiny").extract, str(vilt))
    return root


@pytest.fixture(scope="session")
def opened(root):
    return Dataset.open(DatasetPaths("tiny", root))
