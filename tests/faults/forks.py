"""Runs commands under the shim, each in a fork of a process that has run every command before.

    with Forks(shim, folder, project) as forks:
        ended = forks.run(root, "pipeline.graph", ["--dataset", "tiny"], Fault("kill", 12))
        ended.status, ended.output, ended.mutations

A process of Python, torch and transformers takes seconds to start, a fork of one milliseconds, and
what a library does when it is used first is done once.
multiprocessing's fork server (tests/support/forks.py) cannot be used: it is one for all tests, and
the shim must be loaded before Python is.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from tests.faults.children import warm
from tests.faults.trees import ARGUMENTS, ROOT, call, environment

SOURCE = Path(__file__).with_name("shim.c")
MODES = ("count", "kill", "half", "interrupt", "terminate", "full", "short", "inodes")
"""In the order of the shim's `enum mode`."""
LONGEST = 60.0
"""Seconds that a command may take."""
CALLS = [
    *((step.partition("-")[0], call(step)[1]) for step in ARGUMENTS if step != "load"),
    ("load", [*call("load")[1], "--force"]),
    ("verify", [*call("verify")[1], "--repair"]),
]
"""Every command, in a project that has every output."""


@dataclass(frozen=True)
class Fault:
    """What happens at the mutation of this number, the first being 1.

    mode: `kill` before it, `half` after half of a write; `interrupt` and `terminate` send SIGINT
        and SIGTERM; from it on the disk is `full`, so after a `short` write, or has no `inodes`;
        `power` is cut before it (power.py).
    then: where the same command, run again, is killed as well; 0 if it is not.
    """

    mode: str
    at: int
    then: int = 0


NONE = Fault("count", 0)


@dataclass(frozen=True)
class Mutation:
    """kind: `-` needs no space, `+` needs some, `*` creates a file or a folder; `.` is no mutation,
    but tells what was synced, or what the next rename moves."""

    kind: str
    what: str
    path: str

    def __str__(self) -> str:
        return f"{self.what} {self.path}"


@dataclass(frozen=True)
class Ended:
    """status: the exit code, or minus the signal's number, as of `subprocess`.
    trace: mutations, and what is told besides.
    """

    status: int
    output: str
    trace: list[Mutation]
    seconds: float

    @cached_property
    def mutations(self) -> list[Mutation]:
        return [mutation for mutation in self.trace if mutation.kind != "."]


def compiled(folder: Path) -> Path:
    """The shim as a shared library in `folder`.

    Raises:
        RuntimeError: there is no C compiler, or it fails.
    """
    library = folder / "shim.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library]
    try:
        made = subprocess.run([*command, SOURCE, "-ldl"], capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(
            "the fault campaign compiles tests/faults/shim.c and found no C compiler `cc`: "
            "install gcc or clang"
        ) from None
    if made.returncode:
        raise RuntimeError(f"cc could not compile {SOURCE}:\n{made.stderr}")
    return library


class Forks:
    """A server process; one command at a time.

    Args:
        shim: as `compiled` made it.
        folder: to be made, for the server's files.
        project: one with every output, in which all commands are run before the first fork; None:
            the first use of a library is every child's own.
    """

    def __init__(self, shim: Path, folder: Path, project: Path | None = None) -> None:
        self._log, self._output = folder / "mutations", folder / "output"
        folder.mkdir()
        copy = [shutil.copytree(project, folder / "project")] if project else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks", *copy],
            cwd=ROOT, env=environment() | {"LD_PRELOAD": str(shim)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(LONGEST)
        self._process.stdout.close()

    def run(self, root: Path, module: str, arguments: Sequence[str], fault: Fault = NONE) -> Ended:
        """`python -m MODULE ARGUMENTS` in the folder `root`, below which mutations are counted.

        Raises:
            RuntimeError: the server has died.
            TimeoutError: the command took longer than LONGEST; it was killed.
        """
        asked = {
            "root": str(root.resolve()), "module": module, "arguments": list(arguments),
            "mode": MODES.index("kill" if fault.mode == "power" else fault.mode), "at": fault.at,
            "log": str(self._log), "output": str(self._output),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with {self._process.wait()}")
        said = json.loads(line)
        output = self._output.read_text(errors="backslashreplace")
        if said["status"] is None:
            raise TimeoutError(f"{module} {arguments}: {LONGEST} seconds\n{output}")
        lines = self._log.read_text(errors="backslashreplace").splitlines()
        trace = [Mutation(*line.split(" ", 2)) for line in lines]
        return Ended(said["status"], output, trace, said["seconds"])


def serve(project: Path | None) -> None:
    """Fork a child for each line of standard input; answer with a line when it has ended."""
    if project is not None:
        warm(project, CALLS)
    library = ctypes.CDLL(None)
    for line in sys.stdin:
        asked = json.loads(line)
        begun = time.perf_counter()
        child = os.fork()
        if child == 0:
            _run(asked, library)
        answer = {"status": _status(child), "seconds": time.perf_counter() - begun}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _status(child: int) -> int | None:
    """How the child ended; None where it had to be killed."""
    until = time.perf_counter() + LONGEST
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.perf_counter() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def _run(asked: dict[str, Any], library: ctypes.CDLL) -> None:
    """The command, in the child; does not return."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    output = os.open(asked["output"], flags)
    for handle, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(handle, target)
    log = os.open(asked["log"], flags)
    status = 1
    try:
        import torch

        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
        os.chdir(asked["root"])
        main = import_module(asked["module"]).main
        sys.argv = [f"{asked['module']}", *asked["arguments"]]
        library.shim_arm(asked["root"].encode(), asked["mode"], ctypes.c_long(asked["at"]), log)
        main(asked["arguments"])
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(Path(sys.argv[1]) if sys.argv[1:] else None)
