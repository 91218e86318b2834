from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from pipeline import Linker
from pipeline.evaluate import main as evaluate
from pipeline.train import main as train
from stages.paths import DatasetPaths
from stages.serving.app import make_app
from stages.serving.served import Served
from tests.support.tiny_world import tiny_world

RUN = ["--dataset", "tiny", "--variant", "melov", "--seed", "3"]
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world with an evaluated run of melov (seed 3)."""
    root = tiny_world(tmp_path_factory.getbasetemp())
    with contextlib.chdir(root):
        for main, more in ((train, ["--set", "train.epochs=1"]), (evaluate, [])):
            result = CliRunner().invoke(main, [*RUN, *more])
            assert result.exit_code == 0, result.output
    return root


@pytest.fixture(scope="session")
def served(project: Path) -> Served:
    linker = Linker.load(project / "runs/tiny/melov-s3")
    return Served.of_dataset(linker, DatasetPaths("tiny", project))


def ready(served: Served) -> Future[Served]:
    """Open already."""
    found: Future[Served] = Future()
    found.set_result(served)
    return found


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[TestClient]:
    with TestClient(
        make_app(ready(served)), base_url=ADDRESS, raise_server_exceptions=False
    ) as client:
        yield client
