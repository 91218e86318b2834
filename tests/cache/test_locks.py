"""Locks between processes: one works, a second waits and says who works, a killed one lets go."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cache.locks import BusyError, hold, is_held, working

HOLDER = """
import sys, time
from pathlib import Path
from cache.locks import working
with working(Path(sys.argv[1]), "extracts", sys.argv[2] or None):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(lock: Path, together: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(lock), together]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def end_soon(process: subprocess.Popen[str]) -> threading.Event:
    """Set as the process is ended."""
    told = threading.Event()

    def tell() -> None:
        told.set()
        end(process)

    threading.Timer(0.3, tell).start()
    return told


def test_a_second_process_waits_and_says_who_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = holder(tmp_path / "a.lock")
    killed = end_soon(process)
    with caplog.at_level(logging.WARNING), working(tmp_path / "a.lock", "trains"):
        assert killed.is_set()
    process.wait(60)
    assert f"process {process.pid} on " in caplog.text
    assert "works on it (extracts); waiting" in caplog.text


def test_a_free_lock_is_taken_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with working(tmp_path / "new" / "a.lock", "trains"):
            pass
    assert caplog.text == ""


def test_processes_of_one_setting_work_together(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.lock", "same")
    begun = time.monotonic()
    with working(tmp_path / "a.lock", "extracts", "same"):
        assert process.poll() is None
        assert time.monotonic() - begun < 10
    end(process)


def test_another_setting_is_refused_by_name(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.lock", "same")
    with (
        pytest.raises(BusyError, match=rf"process {process.pid} .*other settings"),
        working(tmp_path / "a.lock", "extracts", "other"),
    ):
        pass
    end(process)


def test_who_works_alone_waits_for_those_who_work_together(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.lock", "same")
    killed = end_soon(process)
    with working(tmp_path / "a.lock", "loads"):
        assert killed.is_set()
    process.wait(60)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"{}"])
def test_a_lock_file_of_any_content_will_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.lock").write_bytes(content)
    with working(tmp_path / "a.lock", "trains", "same"):
        pass


def test_a_held_folder_is_seen_while_it_is_open(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    handle = os.open(tmp_path, os.O_RDONLY)
    hold(handle)
    assert is_held(tmp_path)
    os.close(handle)
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "not there")
