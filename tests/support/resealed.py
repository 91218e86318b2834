"""Sealed files that somebody changed on purpose, seal included."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cache.sealed import FILES, SEAL, write_sealed


def reseal(
    path: Path, change: Callable[[Any], Any] = lambda content: content,
    files: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Write an index file anew with `change(content)`, for the files beside it as they are now.

    Args:
        files: that it vouches for; None: those that it did.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    known = content.pop(FILES)
    files = known if files is None else files
    del content[SEAL]
    write_sealed(path, change(content), [path.parent / name for name in files])
