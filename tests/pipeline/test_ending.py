"""How commands end: pipes that nobody reads, Ctrl-C at any moment, streams and names that are not
UTF-8, full disks, too little memory. Each in a process of its own, as a shell starts it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cache.files import atomic_path, replacing_files, replacing_folder
from pipeline.ending import message_of
from tests.support.tiny_project import run

ROOT = Path(__file__).parents[2]
PREPARE = ("prepare", "--dataset", "tiny", "--source", "jsonl")
TRAIN = ("train", "--dataset", "tiny")
# Sends the interrupt that a terminal would send: when a module is about to be imported, or a file
# of a name to be opened.
AT = """
import os, signal, sys
moment, seen = os.environ["INTERRUPT_AT"], []
def at(event, arguments):
    if seen or event not in ("import", "open"):
        return
    said = arguments[0]
    if said == moment or (event == "open" and str(said).endswith(moment)):
        seen.append(event)
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(at)
"""


MODULE, MELOV = "python -m pipeline.STEP", "melov STEP"


def started(*command, at=None, tmp_path=None, by=MODULE, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.update(more.pop("env", {}))
    if at is not None:
        (tmp_path / "sitecustomize.py").write_text(AT)
        environment |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", "INTERRUPT_AT": at}
    step, *arguments = command
    start = [sys.executable, "-W", "ignore", "-m", f"pipeline.{step}"]
    if by == MELOV:
        start = [Path(sys.executable).with_name("melov"), step]
    return subprocess.run(
        [*start, *arguments], env=environment, stderr=subprocess.PIPE, check=False, **more,
    )  # fmt: skip


def test_nobody_reads_and_the_command_ends_without_a_word(project):
    reading, writing = os.pipe()
    os.close(reading)
    ended = started(*PREPARE, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("by", [MODULE, MELOV])
@pytest.mark.parametrize("moment", ["click", "stages.datasets.records"])
def test_an_interrupt_amid_the_imports_is_one_line(project, tmp_path, moment, by):
    ended = started(*PREPARE, at=moment, tmp_path=tmp_path, by=by, stdout=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (130, b"interrupted\n")


def test_an_interrupt_amid_the_work_is_one_line_and_the_same_command_resumes(project, tmp_path):
    ended = started(*TRAIN, at="/history.csv", tmp_path=tmp_path, stdout=subprocess.PIPE)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == b"interrupted; the same command resumes\n"
    assert ended.stdout.count(b"epoch") == 3  # the start's, too
    assert "epoch  1" not in run("train")  # resumed behind the last one
    assert not list(Path("runs").rglob("*.tmp"))


def test_a_stream_that_is_not_utf8_shows_escapes(project):
    raw = project / "data/tiny/raw/mentions.jsonl"
    raw.write_text('{"mention": "A", "answer": "E0", "image": "\u0438.png"}\n', encoding="utf-8")
    ended = started(*PREPARE, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "latin-1:strict"})
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"\\u0438.png" in ended.stdout


def test_a_full_standard_output_is_named(project):
    with open("/dev/full", "wb") as full:
        ended = started(*PREPARE, stdout=full)
    assert ended.returncode == 1
    assert ended.stderr == b"error: standard output: No space left on device\n"


@pytest.mark.parametrize("what", ["project", "input"])
def test_a_name_that_is_not_utf8_is_one_clear_error(project, what):
    folder = os.fsencode(project.parent) + b"/caf\xe9"
    if what == "project":
        os.rename(project, folder)
        os.chdir(folder)
        ended = started(*PREPARE, stdout=subprocess.PIPE)
    else:
        os.mkdir(folder)
        ended = started(*PREPARE, "--input", folder, stdout=subprocess.PIPE)
    assert ended.returncode == 1
    (first, hint) = ended.stderr.decode().splitlines()
    assert first.startswith("error: ")
    assert "caf\\udce9' is not UTF-8" in first
    assert "rename" in hint


def full(filename=None):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), filename)


def test_failures_of_the_machine_are_one_message_each(tmp_path):
    folder = tmp_path / "project"
    assert message_of(full(), folder).startswith(f"{folder}: No space left on device\n  free")
    assert message_of(full("x/y"), folder).startswith("x/y: No space left on device\n  free")
    assert message_of(PermissionError(13, "denied", "x"), folder) == "x: denied"
    assert message_of(EOFError(), folder) == "a file or an input ended too early: EOFError"
    assert message_of(RuntimeError("a defect"), folder) is None
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**55, dtype=torch.int8)
    for error in (
        MemoryError(),
        refused.value,
        torch.OutOfMemoryError("CUDA out of memory.\nTried"),
    ):
        said = message_of(error, folder)
        assert said.startswith("not enough memory: ")
        assert "batch" in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    "writer", [atomic_path, lambda path: replacing_files(path, "x"), replacing_folder]
)
def test_a_full_disk_is_told_by_the_file_or_folder_that_was_written(tmp_path, writer):
    with pytest.raises(OSError, match="No space") as error, writer(tmp_path / "wanted"):
        raise full()
    assert error.value.filename == str(tmp_path / "wanted")
    with pytest.raises(OSError, match="No space") as error, writer(tmp_path / "wanted"):
        raise full("another")
    assert error.value.filename == "another"
