import pytest
from tiny_world import tiny_world

from stages.paths import DatasetPaths
from stages.training.data import open_dataset


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    return open_dataset(DatasetPaths("tiny", tiny_world(tmp_path_factory.getbasetemp())))
