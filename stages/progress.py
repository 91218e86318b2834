"""Progress bars with rate and ETA for anything that takes longer than two seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

_SHOWN = True


def show_progress(shown: bool) -> None:
    """Whether this process shows bars: of several that do one thing, one does."""
    global _SHOWN
    _SHOWN = shown


def progress(total: int | None, unit: str, what: str) -> "tqdm[Any]":
    """A bar on standard error that appears only after two seconds."""
    return tqdm(
        total=total, unit=f" {unit}", desc=what, delay=2, dynamic_ncols=True, unit_scale=False,
        disable=not _SHOWN,
    )  # fmt: skip


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """What long reading or writing calls with (bytes done, bytes in all), to show how far it is."""
    with tqdm(unit="B", unit_scale=True, desc=what, delay=2, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
