import contextlib

import pytest
from click.testing import CliRunner

from pipeline.train import main as train
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The tiny world with three trained runs: melov, filter, and text and names alone (seed 1)."""
    root = tiny_world(tmp_path_factory.getbasetemp())
    names = ["--set", "train.units=[text,lexical]", "--set", "train.contained_scale=3"]
    with contextlib.chdir(root):
        for arguments in (["melov"], ["filter"], ["mimic", "--seed", "1", *names]):
            command = ["--dataset", "tiny", "--set", "train.epochs=1", "--variant", *arguments]
            result = CliRunner().invoke(train, command)
            assert result.exit_code == 0, result.output
    return root


@pytest.fixture
def root(trained, monkeypatch):
    """The current folder for one test."""
    monkeypatch.chdir(trained)
    return trained
