import logging
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache import finish
from cache.build import building, recover
from cache.layout import ArraySpec
from tests.support import small_stores
from tests.support.small_stores import FINGERPRINT, build, contents, opened, tree, units_of

ARRAYS = contents()
UNITS = units_of(ARRAYS)
NAMES = [name for name, _ in UNITS]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a store that was written without a hitch."""
    folder = tmp_path_factory.mktemp("straight")
    return tree(build(folder / "work", folder / "features.zarr"))


def half_written(partial: Path) -> Path:
    """The folder of work that was left after ten units."""
    with opened(partial, partial.parent / "features.zarr") as one:
        for unit in UNITS[:10]:
            one.write(*unit)
        return one.work.path


def done_units(partial: Path) -> list[str]:
    """What is found done when the work is opened again."""
    with opened(partial, partial.parent / "features.zarr") as one:
        return [name for name, _ in UNITS if one.done(name)]


def run_writer(partial: Path, target: Path, seconds: float | None) -> tuple[int, float]:
    """Write the store in a process of its own, killed after so many seconds of work.

    Returns its exit code and how long it worked.
    """
    process = subprocess.Popen(
        [sys.executable, small_stores.__file__, str(partial), str(target)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        begin = time.perf_counter()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode, time.perf_counter() - begin


def test_killed_at_any_moment_and_resumed_the_store_is_byte_identical(
    tmp_path: Path, straight: dict[str, bytes]
):
    partial, target = tmp_path / "partial", tmp_path / "features.zarr"
    chance = random.Random(5)
    code, duration = run_writer(partial, target, None)  # the machine's pace sets the moments
    kills = 0
    while kills < 12 or code != 0:
        if code == 0:
            assert tree(target) == straight
            assert list(partial.iterdir()) == []
            shutil.rmtree(target)
        else:
            assert code == -9
            kills += 1
            # Killed after the renaming, before the work folder was gone?
            assert not target.exists() or tree(target) == straight
        code, _ = run_writer(partial, target, chance.uniform(0, duration) if kills < 12 else None)
    assert tree(target) == straight


def test_finished_units_are_kept(tmp_path: Path):
    half_written(tmp_path / "work")
    assert done_units(tmp_path / "work") == NAMES[:10]


def test_a_damaged_unit_is_written_again_and_the_others_are_kept(
    tmp_path: Path, straight: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    work = half_written(tmp_path / "work")
    with (work / "features.zarr" / "texts" / "global" / "c.1.0").open("r+b") as file:
        file.write(b"\xff")
    with caplog.at_level(logging.WARNING):
        assert done_units(tmp_path / "work") == [NAMES[0], *NAMES[2:10]]
    assert "chunks:1 is damaged" in caplog.text
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_damaged_unit_that_was_written_again_is_done_for_who_opens_next(tmp_path: Path):
    work = half_written(tmp_path / "work")
    (work / "features.zarr" / "texts" / "global" / "c.1.0").unlink()
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        assert not one.done(NAMES[1])
        one.write(*UNITS[1])
        assert one.done(NAMES[1])
    assert done_units(tmp_path / "work") == NAMES[:10]


def test_a_lost_or_short_chunk_file_is_written_again(tmp_path: Path, straight: dict[str, bytes]):
    work = half_written(tmp_path / "work")
    folder = work / "features.zarr" / "texts" / "local"
    (folder / "c.0.0").unlink()
    os.truncate(folder / "c.2.0", 5)
    assert done_units(tmp_path / "work") == [NAMES[1], *NAMES[3:10]]
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_lost_last_chunk_gets_its_padding_again(tmp_path: Path, straight: dict[str, bytes]):
    with opened(tmp_path / "work", tmp_path / "features.zarr") as one:
        for unit in UNITS:
            one.write(*unit)
    (one.work.group / "texts" / "local" / "c.14.0").unlink()
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_ignored(tmp_path: Path, straight: dict[str, bytes], cut: int):
    (ledger,) = (half_written(tmp_path / "work") / "ledgers").iterdir()
    os.truncate(ledger, ledger.stat().st_size - cut)
    assert done_units(tmp_path / "work") == NAMES[:9]
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("line", ["null", "[1]", '{"unit": "x"}', '{"unit":', "\x00\x00"])
def test_a_ledger_line_that_is_no_entry_is_passed_over_with_a_warning(
    tmp_path: Path, straight: dict[str, bytes], line: str, caplog: pytest.LogCaptureFixture
):
    (ledger,) = (half_written(tmp_path / "work") / "ledgers").iterdir()
    with ledger.open("a") as file:
        file.write(line + "\n")
    with caplog.at_level(logging.WARNING):
        assert done_units(tmp_path / "work") == NAMES[:10]
    assert "a line is torn" in caplog.text
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_work_for_another_store_is_started_over(
    tmp_path: Path, straight: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    other = [ArraySpec("texts/global", (37, 5), "float16", 4)]
    with building(tmp_path / "t", tmp_path / "work", "work-1", FINGERPRINT, other) as one:
        one.write(NAMES[0], UNITS[0][1][:1])
    with caplog.at_level(logging.WARNING):
        assert done_units(tmp_path / "work") == []
    assert "starting over" in caplog.text
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("lost", ["plan.json", "ledgers", "features.zarr/images"])
def test_work_that_has_lost_what_it_needs_is_started_over(
    tmp_path: Path, straight: dict[str, bytes], lost: str
):
    work = half_written(tmp_path / "work")
    (work / lost).rename(tmp_path / "lost")
    (work.parent / "ledger.jsonl").touch()  # as an older version left it
    assert done_units(tmp_path / "work") == []
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("moment", ["claimed", "old store away", "moved in"])
def test_a_finish_killed_between_its_renames_is_completed(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, moment: str
):
    partial, target = tmp_path / "work", tmp_path / "features.zarr"
    build(tmp_path / "other", target, {"old": np.ones((3, 2), np.int32)})
    old, real = tree(target), Path.rename

    def killed(self: Path, to: Path) -> Path:
        if (
            (moment == "claimed" and self == target)
            or (moment == "old store away" and to == target)
            or (moment == "moved in" and to.name.startswith(".swept-"))
        ):
            raise KeyboardInterrupt
        return real(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            build(partial, target)
    if moment == "claimed":
        assert tree(target) == old
    elif moment == "old store away":
        assert not target.exists()
    recover(partial, target)
    assert tree(target) == straight
    assert list(partial.iterdir()) == []
    recover(partial, target)
    assert tree(target) == straight


def test_a_store_that_was_removed_after_its_finish_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """DVC removes the outputs of a stage before it runs it."""
    partial, target = tmp_path / "work", tmp_path / "features.zarr"
    build(tmp_path / "other", target, {"old": np.ones((3, 2), np.int32)})
    with monkeypatch.context() as patch:
        patch.setattr(finish, "sweep", lambda partial: None)  # killed before it
        build(partial, target)
    shutil.rmtree(target)
    recover(partial, target)
    assert not target.exists()
    assert list(partial.iterdir()) == []


def test_what_a_kill_amid_the_sweep_left_goes_with_the_next_command(tmp_path: Path):
    partial, target = tmp_path / "work", tmp_path / "features.zarr"
    build(partial, target)
    for name in (".swept-1", ".replaced-2"):
        (partial / name / "texts").mkdir(parents=True)
        (partial / name / "texts" / "c.0").write_bytes(b"x")
    recover(partial, target)
    assert list(partial.iterdir()) == []
