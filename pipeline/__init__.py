"""The commands, each run as `python -m pipeline.NAME` or `melov NAME`; and `Linker` and `Mention`,
for Python.

This file is the first of the project that such a process reads. A command's imports take seconds,
and Ctrl-C amid them ends as it does later: one line, exit code 130.
"""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.linking.api import Linker, Mention

__all__ = ["Linker", "Mention"]

BY_SCRIPT = os.path.basename(sys.argv[0] if sys.argv else "") == "melov"
"""Whether this process is the console script."""
ALONE = BY_SCRIPT or sys.argv[:1] == ["-m"]
"""Whether this process is a command (so Python calls it until its module is found; or `melov`), and
not one that imports a command."""


def _hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    os.write(2, b"interrupted\n")
    os._exit(130)


if ALONE:
    sys.excepthook = _hook


def __getattr__(name: str) -> Any:
    """What is for Python is imported when it is asked for: no command needs it at its start."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from stages.linking import api

    return getattr(api, name)
