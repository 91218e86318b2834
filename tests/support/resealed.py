"""Sealed files that somebody changed on purpose, seal included."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cache.sealed import FILES, SEAL, write_sealed


def reseal(path: Path, change: Callable[[Any], Any] = lambda content: content) -> None:
    """Write an index file anew with `change(content)`, for the files beside it as they are now."""
    content = json.loads(path.read_text(encoding="utf-8"))
    files = content.pop(FILES)
    del content[SEAL]
    write_sealed(path, change(content), [path.parent / name for name in files])
