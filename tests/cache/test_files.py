"""Files that replace others at once, and what killed writers left."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cache import files
from cache.files import (
    atomic_path,
    complete,
    is_alive,
    replacing_files,
    replacing_folder,
    temporary_name,
)


def left_by(pid: int, name: str, host: str | None = None) -> str:
    return f".{name}.{host or socket.gethostname()}.{pid}.abc.tmp"


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path, dead: int) -> None:
    (tmp_path / left_by(dead, "a.json")).write_text("half")
    (tmp_path / left_by(dead, "b.json")).write_text("another file's")
    with atomic_path(tmp_path / "a.json") as path:
        path.write_text("new")
    assert names(tmp_path) == [left_by(dead, "b.json"), "a.json"]


def test_a_living_writer_keeps_its_file(tmp_path: Path) -> None:
    theirs = [left_by(os.getppid(), "a.json"), left_by(1, "a.json", "elsewhere")]
    for name in theirs:
        (tmp_path / name).write_text("in the making")
    with atomic_path(tmp_path / "a.json") as path:
        path.write_text("new")
    assert names(tmp_path) == sorted(["a.json", *theirs])


def test_a_file_of_another_machine_goes_after_a_day(tmp_path: Path) -> None:
    old = tmp_path / left_by(1, "a.json", "elsewhere")
    old.write_text("half")
    os.utime(old, (time.time() - 90_000,) * 2)
    with atomic_path(tmp_path / "a.json") as path:
        path.write_text("new")
    assert names(tmp_path) == ["a.json"]


def test_users_own_hidden_files_stay(tmp_path: Path) -> None:
    mine = [".a.json.tmp", ".a.json.1.tmp", ".a.json.x.y.z.tmp"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    with atomic_path(tmp_path / "a.json") as path:
        path.write_text("new")
    assert names(tmp_path) == sorted(["a.json", *mine])


def test_files_move_in_together_the_index_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_text("old")
    (tmp_path / "index").write_text("old")
    moved = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: (moved.append(b.name), replace(a, b))[1])
    with replacing_files(tmp_path, "index") as scratch:
        for name in ("index", "a.bin", "z.bin"):
            (scratch / name).write_text("new")
        assert (tmp_path / "a.bin").read_text() == "old"
    assert moved == ["a.bin", "z.bin", "index"]
    assert names(tmp_path) == ["a.bin", "index", "z.bin"]
    assert (tmp_path / "a.bin").read_text() == "new"


def test_a_kill_amid_the_moves_is_completed_by_who_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each number of moves; files of the older writer never come after those of a newer."""
    every = ("a.bin", "b.bin", "index")
    for moves in range(3):
        folder = tmp_path / str(moves)
        for version in ("old", "new", "newest"):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                if version == "new":
                    stopping(patch, moves)
                with replacing_files(folder, "index") as scratch:
                    for name in every:
                        (scratch / name).write_text(version)
            if version == "new":
                assert len(names(folder)) == 4  # one folder besides, of what is left to move
                shutil.copytree(folder, read := tmp_path / f"read-{moves}")
        complete(read, "another")
        assert len(names(read)) == 4
        complete(read, "index")
        assert [(read / name).read_text() for name in names(read)] == ["new"] * 3
        assert [(folder / name).read_text() for name in names(folder)] == ["newest"] * 3


def stopping(patch: pytest.MonkeyPatch, moves: int) -> None:
    """The next call of Path.replace after so many ends in an interrupt."""
    replace, counted = Path.replace, iter(range(moves))

    def replaced(path: Path, target: Path) -> Path:
        if next(counted, None) is None:
            raise KeyboardInterrupt
        return replace(path, target)

    patch.setattr(Path, "replace", replaced)


def test_an_error_keeps_all_old_files(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("old")
    with suppress(KeyError), replacing_files(tmp_path, "index") as scratch:
        (scratch / "index").write_text("new")
        raise KeyError
    with suppress(KeyError), replacing_folder(tmp_path / "folder"):
        raise KeyError
    assert names(tmp_path) == ["index"]
    assert (tmp_path / "index").read_text() == "old"


def test_errors_of_the_disk_name_what_was_to_be_written(tmp_path: Path) -> None:
    """Neither nothing, as a failed write does, nor a temporary name."""

    def write(target: Path) -> None:
        raise OSError(errno.ENOSPC, "as libraries say it")

    def create(target: Path) -> None:
        inner = target if target.is_file() else target / "a.bin"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(inner))

    def read(target: Path) -> None:
        raise OSError(errno.ENOENT, "another file", "elsewhere")

    path, folder = tmp_path / "a.json", tmp_path / "b"
    for writer, target, inner in (
        (lambda: atomic_path(path), path, path),
        (lambda: replacing_files(folder, "index"), folder, folder / "a.bin"),
        (lambda: replacing_folder(folder), folder, folder / "a.bin"),
    ):
        for failing, named in ((write, target), (create, inner), (read, "elsewhere")):
            with pytest.raises(OSError) as raised, writer() as temporary:
                failing(temporary)
            assert raised.value.filename == str(named)
            if failing is not read:
                assert raised.value.strerror == os.strerror(errno.ENOSPC)


def test_a_folder_is_replaced_and_leftovers_go(tmp_path: Path, dead: int) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / left_by(dead, "raw") / "new").mkdir(parents=True)
    with replacing_folder(tmp_path / "raw") as fresh:
        (fresh / "file").write_text("new")
    assert names(tmp_path) == ["raw"]
    assert names(tmp_path / "raw") == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot exchange two names")
def test_at_no_time_is_there_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "file").write_text("old")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("the folder is moved away"))
    with replacing_folder(folder) as fresh:
        (fresh / "file").write_text("new")
    assert names(tmp_path) == ["raw"]
    assert (folder / "file").read_text() == "new"


def test_where_no_names_are_exchanged_a_folder_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "old").touch()
    with replacing_folder(tmp_path / "raw") as fresh:
        (fresh / "new").touch()
    assert names(tmp_path) == ["raw"]
    assert names(tmp_path / "raw") == ["new"]


def test_a_name_says_who_writes(dead: int) -> None:
    assert f".{os.getpid()}." in temporary_name("a.json")
    assert is_alive(os.getpid())
    assert is_alive(1)  # another user's, perhaps
    assert not is_alive(dead)
