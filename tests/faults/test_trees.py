"""The trees that the campaign damages are whole, and the same bytes on each building."""

import subprocess
import sys

import pytest

from tests.faults.trees import STATES, WHOLE, built, call, copied, environment, tree
from tests.support.small_project import tree as hashes

pytestmark = pytest.mark.faults


def test_the_last_tree_has_every_kind_of_output_and_all_of_it_is_whole(tmp_path):
    root = copied(WHOLE, tmp_path / "project")
    module, given = call("verify")
    found = subprocess.run(
        [sys.executable, "-m", module, *given, "--file", "tiny.h5"],
        cwd=root, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    whole = [line.split()[0] for line in found.stdout.splitlines() if " whole " in line]
    assert len(whole) >= 12
    assert "1 failed" not in found.stdout


def test_two_buildings_have_the_same_bytes_but_for_the_seconds():
    first = built()
    built.cache_clear()
    second = built()
    assert first != second
    for state in STATES:
        one, other = hashes(first / state), hashes(second / state)
        assert one.keys() == other.keys()
        differing = {name for name in one if one[name] != other[name]}
        assert {name.rsplit("/")[-1] for name in differing} <= {"timings.json"}, state


def test_a_state_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="grahp: no such state; there are raw, prepared"):
        tree("grahp")
