import pytest

from stages.encode.workers import local
from tests.support import forks


@pytest.fixture(autouse=True)
def _forks_of_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forks of the tests' own server, which has imported what they need."""
    monkeypatch.setattr(local, "PRELOADED", forks.PRELOADED)
