"""What a power cut takes besides a kill: bytes that were written and not synced."""

import random
from collections.abc import Sequence
from pathlib import Path

from tests.faults.forks import Mutation

LOSSES = ("empty", "zeros", "gone")
"""What file systems leave of a file whose bytes had not reached the disk."""


def unsynced(trace: Sequence[Mutation]) -> set[str]:
    """Files that were written after they were last synced, by the names that they have now.

    Names themselves are taken to be on the disk, as journals order them: a rename that is there
    while the bytes are not is what a writer must not rely on.
    """
    found: set[str] = set()
    source = ""
    for step in trace:
        if step.what == "from":
            source = step.path
        elif step.what == "sync":
            found.discard(step.path)
        elif step.what == "rename":
            found = {name for name in found if not _is_below(name, step.path)}
            moved = {name for name in found if _is_below(name, source)}
            found = (found - moved) | {step.path + name.removeprefix(source) for name in moved}
        elif step.what == "remove":
            found = {name for name in found if not _is_below(name, step.path)}
        elif step.what in ("create", "write", "copy", "reserve", "size"):
            found.add(step.path)
    return found


def cut(root: Path, trace: Sequence[Mutation], chance: random.Random) -> None:
    """Take from the tree what was not synced, each file in one of the ways of LOSSES."""
    for name in sorted(unsynced(trace)):
        path, loss = root / name, chance.choice(LOSSES)
        if not path.is_file():
            continue
        if loss == "gone":
            path.unlink()
        else:
            path.write_bytes(bytes(path.stat().st_size if loss == "zeros" else 0))


def _is_below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")
