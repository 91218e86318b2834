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

from cache.fingerprint import Fingerprint
from cache.writer import StoreWriter
from tests.support import small_stores
from tests.support.small_stores import FINGERPRINT, build, contents, specs_of, tree, units_of

ARRAYS = contents()
UNITS = units_of(ARRAYS)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a store that was written without a hitch."""
    folder = tmp_path_factory.mktemp("straight")
    return tree(build(folder / "work", folder / "features.zarr"))


def half_written(work: Path) -> StoreWriter:
    writer = StoreWriter.open(work, FINGERPRINT, specs_of(ARRAYS))
    for unit in UNITS[:10]:
        writer.write(*unit)
    return writer


def run_writer(work: Path, target: Path, seconds: float | None) -> tuple[int, float]:
    """Write the store in a process of its own, killed after so many seconds of work.

    Returns its exit code and how long it worked.
    """
    process = subprocess.Popen(
        [sys.executable, small_stores.__file__, str(work), str(target)],
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
    work, target = tmp_path / "work", tmp_path / "features.zarr"
    chance = random.Random(5)
    code, duration = run_writer(work, target, None)  # the machine's pace sets the moments
    kills = 0
    while kills < 12 or code != 0:
        if code == 0:
            assert tree(target) == straight
            assert not work.exists()
            shutil.rmtree(target)
        else:
            assert code == -9
            kills += 1
            # Killed after the renaming, before the work folder was gone?
            assert not target.exists() or tree(target) == straight
        code, _ = run_writer(work, target, chance.uniform(0, duration) if kills < 12 else None)
    assert tree(target) == straight


def test_finished_units_are_kept(tmp_path: Path):
    half_written(tmp_path / "work")
    writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert [writer.done(name) for name, _ in UNITS[:12]] == [True] * 10 + [False] * 2


def test_a_damaged_unit_is_written_again_and_the_others_are_kept(
    tmp_path: Path, straight: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    half_written(tmp_path / "work")
    chunk = tmp_path / "work" / "features.zarr" / "texts" / "global" / "c.1.0"
    with chunk.open("r+b") as file:  # row 4, of the second unit
        file.write(b"\xff")
    with caplog.at_level(logging.WARNING):
        writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert "rows:3 is damaged" in caplog.text
    assert [writer.done(name) for name, _ in UNITS[:3]] == [True, False, True]
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_lost_or_short_chunk_file_is_written_again(tmp_path: Path, straight: dict[str, bytes]):
    half_written(tmp_path / "work")
    folder = tmp_path / "work" / "features.zarr" / "texts" / "local"
    (folder / "c.0.0").unlink()
    os.truncate(folder / "c.2.0", 5)
    writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert [writer.done(name) for name, _ in UNITS[:5]] == [False, False, False, False, True]
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_ignored(tmp_path: Path, straight: dict[str, bytes], cut: int):
    half_written(tmp_path / "work")
    ledger = tmp_path / "work" / "ledger.jsonl"
    os.truncate(ledger, ledger.stat().st_size - cut)
    writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert writer.done("rows:24")
    assert not writer.done("rows:27")
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


@pytest.mark.parametrize("line", ["null", "[1]", '{"unit": "x"}', '{"unit":', "\x00\x00"])
def test_a_ledger_line_that_is_no_entry_is_ignored(
    tmp_path: Path, straight: dict[str, bytes], line: str
):
    half_written(tmp_path / "work")
    with (tmp_path / "work" / "ledger.jsonl").open("a") as file:
        file.write(line + "\n")
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_work_for_another_store_is_started_over(
    tmp_path: Path, straight: dict[str, bytes], caplog: pytest.LogCaptureFixture
):
    other = Fingerprint({"encoder": "other"})
    StoreWriter.open(tmp_path / "work", other, specs_of(ARRAYS)).write(*UNITS[0])
    with caplog.at_level(logging.WARNING):
        writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert "starting over" in caplog.text
    assert not writer.done(UNITS[0][0])
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_work_without_its_plan_is_started_over(tmp_path: Path, straight: dict[str, bytes]):
    half_written(tmp_path / "work")
    (tmp_path / "work" / "plan.json").unlink()
    (tmp_path / "work" / "features.zarr" / "zarr.json.0123.partial").touch()
    writer = StoreWriter.open(tmp_path / "work", FINGERPRINT, specs_of(ARRAYS))
    assert not writer.done(UNITS[0][0])
    assert tree(build(tmp_path / "work", tmp_path / "features.zarr")) == straight


def test_a_kill_between_the_two_renamings_loses_neither_store(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    older = {"old": np.ones((3, 2), np.int32)}
    work, target = tmp_path / "work", tmp_path / "features.zarr"
    build(tmp_path / "other", target, older)
    real = Path.rename

    def killed(self: Path, to: Path) -> Path:
        if Path(to) == target:
            raise KeyboardInterrupt
        return real(self, to)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        build(work, target)
    assert "old/c.0.0" in tree(work / "replaced")
    monkeypatch.setattr(Path, "rename", real)
    assert tree(build(work, target)) == straight
