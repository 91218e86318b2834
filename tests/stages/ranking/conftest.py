import pytest

from stages.paths import DatasetPaths
from stages.runs.data import open_dataset
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    return open_dataset(DatasetPaths("tiny", tiny_world(tmp_path_factory.getbasetemp())))
