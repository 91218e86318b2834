"""A project folder that remembers what it has read sees every change all the same."""

import os
import time

import pytest

from tests.faults.workspace import CLOCK, Workspace

pytestmark = pytest.mark.faults


@pytest.fixture
def place(tmp_path):
    for name in ("a", "b/c", "b/d"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"before")
    return Workspace(tmp_path)


@pytest.mark.parametrize("seconds", [0, 2.5 * CLOCK / 1e9])
def test_a_change_that_hides_itself_is_seen(place, seconds):
    time.sleep(seconds)
    assert place.changed() == {}
    path = place.root / "b/c"
    state = path.stat()
    with path.open("r+b") as file:
        file.write(b"change")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert place.changed() == {"b/c": "other content"}
    place.restore()
    assert place.changed() == {}
    assert path.read_bytes() == b"before"


def test_what_came_went_and_was_replaced_is_seen(place):
    time.sleep(2.5 * CLOCK / 1e9)
    assert place.changed() == {}
    (place.root / "new").write_bytes(b"before")
    (place.root / "a").unlink()
    (place.root / "other").write_bytes(b"instead")
    (place.root / "other").replace(place.root / "b/d")
    assert place.changed() == {"a": "gone", "b/d": "other content", "new": "new"}
    place.restore()
    assert place.changed() == {}


def test_what_was_not_touched_is_not_read_again(place, monkeypatch):
    time.sleep(2.5 * CLOCK / 1e9)
    place.now()  # as it stands, for good
    path = place.root / "a"
    path.chmod(0)
    opened = []
    kept = open
    monkeypatch.setattr("builtins.open", lambda *given: opened.append(given) or kept(*given))
    path.chmod(0o644)
    place.now()
    assert [os.path.basename(name) for name, _ in opened] == ["a"]  # its state has changed
