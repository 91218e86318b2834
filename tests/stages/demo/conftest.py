from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stages.config import DemoConfig
from stages.demo.world.generate import generate


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Same bits on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's raw folder, small."""
    folder = tmp_path_factory.mktemp("demo") / "raw"
    generate(DemoConfig(entities=50, mentions=100, captions=320), folder)
    return folder
