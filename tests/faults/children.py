"""Commands in forked children under limits: whatever becomes of one, the test goes on.

    ended = command(root, "evaluate", ["--dataset", "tiny"])
    ended.code, ended.stderr

The parent has imported what commands need (`warm`), so that a child costs some hundredths of a
second besides its command.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import itertools
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SECONDS = 60
"""That a command may take; it is ended by SIGALRM then."""
MEETING = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "fcntl.flock")
"""Events of Python's audit at which `jitter` pauses."""
MEMORY = 4 * 2**30
"""Bytes of address space that a command may add."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: of its exit; negative: the signal that ended it.
        seconds: of a processor.
    """

    step: str
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def defect(self) -> str:
        """What no input may lead to: a signal, a traceback, a usage error; empty where there is
        none."""
        if self.code < 0:
            name = signal.Signals(-self.code).name
            return "hangs" if name == "SIGALRM" else name
        if "Traceback (most recent call last)" in self.stderr:
            return "traceback"
        return f"exit {self.code}" if self.code > 1 else ""


def warm(root: Path, calls: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Run commands in this very process, so that forks find imported and set up what they need.

    Args:
        root: a project that is used for nothing else.
    """
    import torch

    torch.set_num_threads(1)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.chdir(root),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        for step, arguments in calls:
            main = importlib.import_module(f"pipeline.{step}").main
            main(list(arguments), standalone_mode=False)
        logging.root.handlers.clear()
    gc.collect()
    gc.freeze()  # a child's own collections leave these pages shared


def command(
    root: Path, step: str, arguments: Sequence[str], first: Callable[[], None] = lambda: None
) -> Ended:
    """`python -m pipeline.STEP ARGUMENTS` in the project's folder `root`, in a fork.

    Args:
        first: is called in the child before the command.
    """
    return started(root, step, arguments, first).ended()


def started(
    root: Path, step: str, arguments: Sequence[str], first: Callable[[], None] = lambda: None,
    seconds: int = SECONDS,
) -> Started:  # fmt: skip
    """The same, without waiting for its end; it is ended after `seconds`."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - until `ended`
    pid = os.fork()
    if pid == 0:
        _child(root, step, arguments, out.fileno(), err.fileno(), first, seconds)
    return Started(step, pid, out, err)


@dataclass(frozen=True)
class Started:
    """A command that runs."""

    step: str
    pid: int
    out: IO[bytes]
    err: IO[bytes]

    def ended(self) -> Ended:
        """Wait until it has."""
        _, status, used = os.wait4(self.pid, 0)
        said = []
        for file in (self.out, self.err):
            with file:
                file.seek(0)
                said.append(file.read().decode("utf-8", "replace"))
        seconds = used.ru_utime + used.ru_stime
        return Ended(self.step, os.waitstatus_to_exitcode(status), *said, seconds)


def killed_at(module: str, name: str, call: int) -> Callable[[], None]:
    """For `command`: the child is killed when it has called `module.name` this many times.

    Args:
        name: of a function, or of a method: `Build.write`.
    """

    def patch() -> None:
        *classes, last = name.split(".")
        owner = functools.reduce(getattr, classes, importlib.import_module(module))
        real, calls = getattr(owner, last), itertools.count(1)

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, last, counted)

    return patch


def jitter(seed: object) -> Callable[[], None]:
    """For `command`: the child pauses at some of the calls by which processes meet, seeded, so that
    two at once take turns that they seldom take by themselves."""

    def pause() -> None:
        chance = random.Random(repr(seed))

        def hook(event: str, _: tuple[Any, ...]) -> None:
            if event in MEETING and chance.random() < 0.1:
                time.sleep(0.1 * chance.random() ** 3)

        sys.addaudithook(hook)

    return pause


def _child(
    root: Path, step: str, arguments: Sequence[str], out: int, err: int,
    first: Callable[[], None], seconds: int,
) -> None:  # fmt: skip
    code = 70
    try:
        os.chdir(root)
        os.dup2(out, 1)
        os.dup2(err, 2)
        # pytest's and other tests' streams and handlers are not the command's.
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        logging.root.handlers.clear()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
        signal.alarm(seconds)
        most = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        first()
        sys.argv = [f"pipeline.{step}", *arguments]
        importlib.import_module(f"pipeline.{step}").main(list(arguments), prog_name=step)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
