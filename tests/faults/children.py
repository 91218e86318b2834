"""Commands in forked children under limits: whatever becomes of one, the test goes on.

    ended = command(root, "evaluate", ["--dataset", "tiny"])
    ended.code, ended.stderr

The parent has imported what commands need (`warm`), so that a child costs some hundredths of a
second besides its command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60
"""That a command may take; it is ended by SIGALRM then."""
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
    root: Path, step: str, arguments: Sequence[str], seconds: int = SECONDS, memory: int = MEMORY
) -> Ended:
    """`python -m pipeline.STEP ARGUMENTS` in the project's folder `root`, in a fork."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _child(root, step, arguments, out.fileno(), err.fileno(), seconds, memory)
        _, status, used = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode("utf-8", "replace"))
    return Ended(step, code, *said, used.ru_utime + used.ru_stime)


def _child(
    root: Path, step: str, arguments: Sequence[str], out: int, err: int, seconds: int, memory: int
) -> None:
    code = 70
    try:
        os.chdir(root)
        os.dup2(out, 1)
        os.dup2(err, 2)
        # pytest's and other tests' streams and handlers are not the command's.
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        logging.root.handlers.clear()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        most = _address_space() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
