"""What a command shows, and how it ends.

Exit codes: 0 done; 1 a failure of the data's, the settings' or the machine's, told in one message;
2 wrong usage; 130 interrupted (Ctrl-C); 141 nobody reads what it shows any more, as in `| head`.
"""

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from cache.disk import FULL
from cache.errors import MelovError
from pipeline import ALONE, BY_SCRIPT
from stages.shown import terminal

INTERRUPTED, UNREAD = 130, 141
_NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""PyTorch says so by a RuntimeError."""


class Command(click.Command):
    """A click command that ends as the codes above say, at whatever moment."""

    def main(
        self, args: Sequence[str] | None = None, *more: Any, standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:  # fmt: skip
        spell_what_cannot_be_encoded()
        run: Any = partial(super().main, args, *more, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        try:
            code = run()
        except (KeyboardInterrupt, click.Abort):
            interrupted(resumes=False)
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            click.echo(terminal(shown.getvalue()), err=True, nl=False)
            sys.exit(error.exit_code)
        if ALONE:  # what is left is Python's own end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(code if isinstance(code, int) else 0)


def echo(text: str, err: bool = False, nl: bool = True) -> None:
    """Show `text`; control characters that came with the data are spelled out.

    Raises:
        BrokenPipeError: nobody reads.
        MelovError: the stream cannot be written for another reason, such as a full disk.
    """
    try:
        click.echo(terminal(text), err=err, nl=nl)
    except BrokenPipeError:
        raise
    except OSError as error:
        stream = "standard error" if err else "standard output"
        raise MelovError(f"{stream}: {error.strerror}") from None


def as_called(text: str) -> str:
    """`text`, its commands spelled as this one was: where `melov` is on the path, `python` may be
    another one, without the package."""
    return text.replace("python -m pipeline.", "melov ") if BY_SCRIPT else text


def log_to_stderr() -> None:
    """Log lines of the project, and other libraries' warnings, by the rules of `echo`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for ours in ("cache", "stages", "pipeline"):
        logging.getLogger(ours).setLevel(logging.INFO)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return terminal(super().format(record))


def spell_what_cannot_be_encoded() -> None:
    """A terminal that is not UTF-8 shows escapes instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def message_of(error: BaseException, folder: Path) -> str | None:
    """One message for the user; None where the error is a defect, which keeps its traceback.

    Args:
        folder: what a full disk is told of where the system names no file.
    """
    if isinstance(error, MelovError):
        text = str(error)
    elif isinstance(error, MemoryError) or any(said in str(error) for said in _NO_MEMORY):
        text = (
            f"not enough memory: {_first_line(error)}\n  lower the step's batches or blocks "
            "(extract.batch_images, train.batch_size, evaluate.entity_rows), or free memory"
        )
    elif isinstance(error, EOFError):
        text = f"a file or an input ended too early: {_first_line(error)}"
    elif isinstance(error, OSError):
        text = _message_of_system(error, folder)
    else:
        return None
    with suppress(OSError):  # the working directory may be gone
        text = text.replace(f"{Path.cwd()}{os.sep}", "")
    return as_called(text)


def _message_of_system(error: OSError, folder: Path) -> str:
    named = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
    if error.errno not in FULL:
        return named
    if error.filename is None:
        named = f"{folder}: {error.strerror or error}"
    return f"{named}\n  free some space there, and run the same command again"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def interrupted(resumes: bool) -> NoReturn:
    """End after Ctrl-C, with one line.

    Args:
        resumes: whether the same command, run again, goes on from there.
    """
    said = "interrupted; the same command resumes" if resumes else "interrupted"
    if ALONE:  # a second one would only disturb the end
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        click.echo(said, err=True)
    except OSError:
        unread()
    sys.exit(INTERRUPTED)


def unread() -> NoReturn:
    """End without a word. What is still to be shown goes nowhere, or Python would complain."""
    for stream, real in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        if stream is real and stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    sys.exit(UNREAD)
