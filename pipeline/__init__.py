"""The commands, each run as `python -m pipeline.NAME`.

This file is the first of the project that such a process reads. A command's imports take seconds,
and Ctrl-C amid them ends as it does later: one line, exit code 130.
"""

import os
import sys
from types import TracebackType

ALONE = sys.argv[:1] == ["-m"]
"""Whether this process is a command (so Python calls it until its module is found), and not one
that imports a command."""


def _hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    os.write(2, b"interrupted\n")
    os._exit(130)


if ALONE:
    sys.excepthook = _hook
