import pytest

from tests.support.tiny_project import own_world


@pytest.fixture
def project(tmp_path, tmp_path_factory, monkeypatch):
    """The tiny world as a project of the test's own; the current folder."""
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path / "world")
    monkeypatch.chdir(root)
    return root
