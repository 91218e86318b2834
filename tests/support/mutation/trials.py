"""Trials of one reader in processes of their own, so that a signal or a hang is one trial's result.

A zygote (tests/support/mutation/zygote.py) imports everything once, and forks a child for each
batch. It takes jobs as lines of JSON, and its children answer in such lines: what they begin, and
how it ended.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

SECONDS, WAITED = 10, 60
"""Of the processor's time, or of the clock's where it waits for something, after which a trial is a
hang: a busy machine is none."""
ADDRESS_SPACE = 8 * 2**30
"""Bytes beyond what the process has mapped already: what asks for more gets a MemoryError."""
BATCH = 100
LONGEST_MESSAGE = 4000
"""Characters: an error is something to be read."""

GOOD = ("error", "same", "accepted")
"""`error`: one MelovError; `same`: the content is as before; `accepted`: another content,
well-formed, of an input that nothing seals. Any other outcome is a failure."""


@dataclass(frozen=True)
class Change:
    """What was done to a subject's files.

    Args:
        files: relative paths, to be put back after the trial.
        what: in a few words.
        sealed: whether checksums speak against it, so that nothing but an error or the same content
            will do.
    """

    files: tuple[str, ...]
    what: str
    sealed: bool


class Subject(Protocol):
    """A reader and an input of its own."""

    name: str
    most_bytes: int
    """Of memory that a trial may take."""

    def make(self, world: Path, folder: Path) -> None:
        """Write the input; `world` is the tiny project, shared and not to be changed."""

    def change(self, random: Random, folder: Path) -> Change: ...

    def read(self, folder: Path) -> Any:
        """What the reader makes of it, to be compared by ==.

        Raises:
            MelovError: what users see.
            AssertionError: the result is not well-formed, or rows are not accounted for.
        """


@dataclass(frozen=True)
class Trial:
    """One result."""

    subject: str
    number: int
    outcome: str
    how: str
    detail: str = ""
    seconds: float = 0.0
    peak: int = 0


class Zygote:
    """A process that runs batches, one at a time."""

    def __init__(self, module: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment,
        )  # fmt: skip

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def make(self, subject: str, world: Path, folder: Path) -> None:
        said = list(self._ask(make=True, subject=subject, world=str(world), folder=str(folder)))
        assert said == [{"ended": 0}], said

    def trials(self, subject: str, folder: Path, seed: int, numbers: range) -> Iterator[Trial]:
        """The results, one after the other; a child that dies costs the trial that it was at."""
        at = numbers.start
        while at < numbers.stop:
            begun, ended = None, None
            job = {"subject": subject, "folder": str(folder), "seed": seed}
            for said in self._ask(lo=at, hi=numbers.stop, **job):
                if "begin" in said:
                    begun = said
                elif "outcome" in said:
                    begun, at = None, said["number"] + 1
                    yield Trial(subject, **said)
                else:
                    ended = said["ended"]
            if at < numbers.stop:
                assert begun is not None, (
                    f"{subject}: a child ended before its first trial: {ended}"
                )
                yield _died(subject, begun, ended or 0)
                at = begun["begin"] + 1

    def _ask(self, **job: Any) -> Iterator[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            said = json.loads(line)
            yield said
            if "ended" in said:
                return
        raise AssertionError(f"the zygote ended with {self._process.wait()}")


def _died(subject: str, begun: dict[str, Any], status: int) -> Trial:
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    outcome = "hang" if number in (signal.SIGALRM, signal.SIGPROF) else "signal"
    detail = signal.Signals(number).name if number else f"exit {os.waitstatus_to_exitcode(status)}"
    return Trial(subject, begun["begin"], outcome, begun["how"], detail)


def serve(subjects: dict[str, Subject]) -> None:
    """Be a zygote until standard input ends."""
    gc.collect()
    gc.freeze()  # a child's own collections leave these pages shared
    for line in sys.stdin:
        job = json.loads(line)
        subject = subjects[job.pop("subject")]
        child = os.fork()
        if child == 0:
            try:
                if job.pop("make", False):
                    _make(subject, Path(job["world"]), Path(job["folder"]))
                else:
                    run_batch(
                        subject, Path(job["folder"]), job["seed"], range(job["lo"], job["hi"])
                    )
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _say(ended=status)


def _make(subject: Subject, world: Path, folder: Path) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        logging.disable(logging.CRITICAL)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subject.make(world, folder)


def _limit(seconds: int, waited: int) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, waited)


def run_batch(subject: Subject, pristine: Path, seed: int, numbers: range) -> None:
    """The trials, in a child of the zygote; each leaves its lines on standard output."""
    for number in (signal.SIGALRM, signal.SIGPROF):  # end what no Python code could end
        signal.signal(number, signal.SIG_DFL)
    os.fsync = lambda _: None  # nothing here is to outlive a power cut
    logging.disable(logging.CRITICAL)
    folder = pristine.with_name(f"{pristine.name}-{os.getpid()}")
    shutil.copytree(pristine, folder, symlinks=True)
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a reader might print
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with contextlib.redirect_stderr(open(os.devnull, "w")):  # progress bars, warnings
            clean = subject.read(folder)
            touched: tuple[str, ...] | None = None
            for number in numbers:
                _restore(pristine, folder, touched)
                random = Random(f"{seed} {subject.name} {number}")
                change = subject.change(random, folder)
                touched = None if getattr(subject, "writes", False) else change.files
                how = "sealed" if change.sealed else "well-formed"
                _say(output, begin=number, how=f"{how}: {change.what}")
                _limit(SECONDS, WAITED)
                begun, before = time.perf_counter(), _peak(reset=True)
                outcome, detail = _outcome(subject, folder, change, clean)
                seconds, peak = time.perf_counter() - begun, _peak() - before
                _limit(0, 0)
                if outcome in GOOD and peak > subject.most_bytes:
                    outcome, detail = "memory", f"{peak:,} bytes; {detail}"
                _say(
                    output, number=number, outcome=outcome, how=f"{how}: {change.what}",
                    detail=detail[:3000], seconds=seconds, peak=peak,
                )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(subject: Subject, folder: Path, change: Change, clean: Any) -> tuple[str, str]:
    from cache.errors import MelovError
    from stages.datasets.decoding.picture import PictureError

    try:
        found = subject.read(folder)
    except MelovError as error:
        return _judged(str(error), change)
    except PictureError as error:
        return "error", str(error)
    except AssertionError as error:
        return "wrong", "".join(traceback.format_exception(error)[-2:])
    except BaseException as error:
        return "traceback", "".join(traceback.format_exception(error)[-6:])
    if found == clean:
        return "same", ""
    return ("silent", str(found)) if change.sealed else ("accepted", "")


def _judged(message: str, change: Change) -> tuple[str, str]:
    if len(message) > LONGEST_MESSAGE:
        return "long message", f"{len(message):,} characters: {message[:200]}"
    if change.sealed and not any(_is_named(file, message) for file in change.files):
        return "unnamed", message
    return "error", message


def _is_named(file: str, message: str) -> bool:
    """A file by its name; a metadata file `zarr.json` also by its folder's."""
    path = Path(file)
    return path.name in message or (path.name == "zarr.json" and path.parent.name in message)


def _restore(pristine: Path, folder: Path, touched: tuple[str, ...] | None) -> None:
    """Put the touched files back; None: every file that differs by size or time, and no others."""
    if touched is not None:
        for name in touched:
            shutil.copy2(pristine / name, folder / name)
        return
    wanted = {path.relative_to(pristine): path for path in pristine.rglob("*")}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.relative_to(folder) not in wanted or path.is_symlink():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, path in sorted(wanted.items()):
        there = folder / name
        if path.is_dir():
            there.mkdir(exist_ok=True)
        elif not there.exists() or _look(there) != _look(path):
            shutil.copy2(path, there)


def _look(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _peak(reset: bool = False) -> int:
    """The most bytes that this process has held in memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def _say(output: Any = sys.stdout, **said: Any) -> None:
    output.write(json.dumps(said) + "\n")
    output.flush()


Make = Callable[[Path, Path], None]
