from pathlib import Path

import pytest

from tests.support.ranked_world import ranked_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ranked_world(tmp_path_factory.getbasetemp())
