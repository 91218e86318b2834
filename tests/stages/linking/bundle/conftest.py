"""Bundles of the tiny world: melov with its encoder, text and names alone, and a baseline."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.bundle import main as bundle
from pipeline.evaluate import main as evaluate
from pipeline.train import main as train
from tests.support.bundles import RUNS


def call(main, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--dataset", "tiny", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="session")
def bundles(trained, tmp_path_factory) -> Path:
    """A folder with one bundle a run of RUNS, by variant."""
    folder = tmp_path_factory.mktemp("bundles")
    with contextlib.chdir(trained):
        call(train, "--variant", "clip")
        call(evaluate, "--variant", "melov")
        for variant, seed in RUNS.items():
            own = ["--with-encoder", "--license", "mit"] if variant == "melov" else []
            out = ["--output", str(folder / variant)]
            call(bundle, "--variant", variant, "--seed", str(seed), *out, *own)
    return folder
