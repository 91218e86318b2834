"""How a finished store moves into place, whoever is killed and whoever else is at it.

    partial/                   one folder for everything that will become `target`
        NAME/                  a store in the making: its work folder, named by its caller
            RANDOM/            laid out once (cache/work.py); everybody writes below this path
            closing-RANDOM/    the same folder, once a process has begun to move the store out;
                               it takes the older store in, as replaced-RANDOM/
        .new-RANDOM/           about to become NAME, or left by a kill
        .replaced-RANDOM/      an older store that somebody holds open; a later sweep takes it
        .swept-RANDOM/         about to be deleted, or left by a kill

Only renames decide, and a rename succeeds for one process. Whoever renamed the inner folder last
owns the move; the paths of all others then name nothing, so that they can undo nothing.
"""

import errno
import shutil
from contextlib import suppress
from pathlib import Path

from cache.disk import children, sync_folder, unique
from cache.layout import GROUP
from cache.locks import is_held

CLOSING, REPLACED, SWEPT = "closing-", "replaced-", ".swept-"


def recover(partial: Path, target: Path) -> None:
    """Complete a finish that was killed half-way; call it before opening `target`.

    The store that it was about to put into place is whole, so it goes there, also where an older
    one stood. The finish of a process that is alive is completed on its behalf.

    Args:
        partial: the folder of work folders; it need not exist.
    """
    while folders := [
        folder
        for home in children(partial)
        if not home.name.startswith(".")
        for folder in _closing(home)
    ]:
        for folder in folders:
            with suppress(FileNotFoundError):  # another process completes it
                move_out(folder, partial, target)
    for folder in children(partial):  # what others were about to delete, or could not yet
        if folder.name.startswith((f".{REPLACED}", SWEPT)) and not is_held(folder):
            discard(folder, partial)


def move_out(folder: Path, partial: Path, target: Path) -> None:
    """Take a laid-out folder over, move its group to `target` and sweep `partial`.

    Raises:
        FileNotFoundError: another process took it over.
    """
    owned = folder.with_name(CLOSING + unique())
    folder.rename(owned)
    group = owned / GROUP
    if group.exists():  # else a kill came between the move and the sweep
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(owned / f"{REPLACED}{unique()}")
        group.rename(target)
        sync_folder(target.parent)
    elif not owned.exists():  # taken over since: its new owner moves the group, and then sweeps
        raise FileNotFoundError(errno.ENOENT, "taken over by another process", str(owned))
    sweep(partial)


def _closing(home: Path) -> list[Path]:
    return [folder for folder in children(home) if folder.name.startswith(CLOSING)]


def sweep(partial: Path) -> None:
    """Remove every work folder, whatever its settings: the finished store supersedes them.

    Files in `partial` stay, and older stores that somebody reads: the next sweep takes them.
    """
    for home in children(partial):
        for closing in _closing(home):
            for older in children(closing):
                if older.name.startswith(REPLACED) and is_held(older):
                    with suppress(FileNotFoundError):  # another process sweeps
                        older.rename(partial / f".{older.name}")
    folders = [path for path in children(partial) if path.is_dir() and not _is_read(path)]
    # One that was moved out goes last: after a kill, `recover` finds it and sweeps again.
    for folder in sorted(folders, key=lambda folder: len(_closing(folder))):
        discard(folder, partial)


def _is_read(folder: Path) -> bool:
    return folder.name.startswith(f".{REPLACED}") and is_held(folder)


def discard(path: Path, partial: Path) -> None:
    """Remove what lies below `partial`, at once for all who look: renamed first, then deleted."""
    aside = partial / f"{SWEPT}{unique()}"
    with suppress(FileNotFoundError):  # another process removes it
        path.rename(aside)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()
