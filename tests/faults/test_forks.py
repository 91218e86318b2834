"""The shim sees what writes, and ends it where it is told."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forks import Fault, Forks, Mutation, compiled
from tests.faults.power import cut, unsynced
from tests.faults.writes import MUTATIONS

pytestmark = pytest.mark.faults
WRITES = "tests.faults.writes"


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    folder = tmp_path_factory.mktemp("forks")
    with Forks(compiled(folder), folder / "server") as forks:
        yield forks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def number_of(wanted: str) -> int:
    """Of the first such mutation, from 1 on."""
    return MUTATIONS.index(wanted) + 1


def test_every_kind_of_mutation_is_counted_once_and_nothing_else(forks: Forks, root: Path):
    ended = forks.run(root, WRITES, [str(root.parent / "outside")])
    assert ended.status == 0, ended.output
    seen = [f"{m.kind} {m}" for m in ended.mutations]
    parquet = seen.count("+ write a/parquet")
    assert parquet > 2
    assert [line for line in seen if line != "+ write a/parquet"] == list(MUTATIONS)
    assert (root / "b").exists()
    assert (root.parent / "outside").exists()


def test_the_process_ends_before_a_write_or_amid_it(forks: Forks, root: Path):
    at = number_of("+ write a/text")
    for mode, left in (("kill", ""), ("half", "wo")):
        ended = forks.run(root, WRITES, ["outside"], Fault(mode, at))
        assert ended.status == -9
        assert ended.mutations[-1] == Mutation("+", "write", "a/text")
        assert (root / "a/text").read_text() == left
        shutil.rmtree(root / "a")
    ended = forks.run(root, WRITES, ["outside"], Fault("terminate", at))
    assert ended.status == -15


def test_a_power_cut_takes_what_was_not_synced(forks: Forks, root: Path):
    arguments = [str(root.parent / "outside")]
    whole = forks.run(root, WRITES, arguments)
    assert unsynced(whole.trace) == {"a/array", "a/parquet"}  # and not a/text
    shutil.rmtree(root / "a")
    last = len(whole.mutations)
    ended = forks.run(root, WRITES, arguments, Fault("power", last))
    assert ended.status == -9
    assert unsynced(ended.trace[:-1]) == {"a/array", "a/moved", "a/parquet"}
    cut(root, ended.trace[:-1], random.Random(0))
    assert (root / "a/text").read_text() == "word word "
    for name in ("array", "moved", "parquet"):
        path = root / "a" / name
        assert not path.exists() or not any(path.read_bytes())


def test_an_interrupt_comes_to_python(forks: Forks, root: Path):
    ended = forks.run(root, WRITES, ["outside"], Fault("interrupt", 3))
    assert ended.status == 1
    assert "KeyboardInterrupt" in ended.output


def test_a_disk_is_full_from_a_mutation_on(forks: Forks, root: Path):
    at = number_of("+ write a/text")
    for mode, left in (("full", ""), ("short", "wo")):
        ended = forks.run(root, WRITES, ["outside"], Fault(mode, at))
        assert ended.status == 1
        assert "[Errno 28] No space left on device" in ended.output
        assert (root / "a/text").read_text() == left
        shutil.rmtree(root / "a")


def test_what_needs_no_space_goes_on_where_the_disk_is_full(forks: Forks, root: Path):
    at = number_of("- write a/array")
    ended = forks.run(root, WRITES, ["outside"], Fault("full", at))
    assert "a/copy" in ended.output
    assert (root / "a/array").read_bytes()[8:16] == bytes(8)
    ended = forks.run(root, WRITES, ["outside"], Fault("inodes", number_of("+ copy a/copy")))
    assert "a/link" in ended.output
    assert (root / "a/moved").stat().st_size == 64


def test_without_a_compiler_the_campaign_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="no C compiler `cc`: install gcc or clang"):
        compiled(tmp_path)
