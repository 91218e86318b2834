"""The registry of source formats: a name, and the reader that makes canonical records of it.

A new format is one reader and one entry; the commands and the parameters' check read SOURCES.
"""

from pathlib import Path
from typing import Literal, Protocol

from cache.strict import plain
from stages.datasets.pictures import KeyCache
from stages.datasets.readers.jsonl import OWN_FILES, read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.readers.mimic_ids import KB_FILE, QID_FILE
from stages.datasets.records import Records, RecordsError


class Reader(Protocol):
    """Reads the folder or the file `path`, and checks it.

    Args:
        root: the project's folder; `Records.image_root` is relative to it where it lies inside.
        seed: of the split, where the source has none.
        missing_answer: a mention whose answer is unknown raises, or is dropped and counted.
        keys: digests of pictures that an earlier run has hashed.

    Raises:
        RecordsError: names the file and the record that cannot be read.
    """

    def __call__(
        self, path: Path, dataset: str, /, *, root: Path = ..., seed: int = ...,
        missing_answer: Literal["error", "drop"] = ..., keys: KeyCache | None = ...,
    ) -> Records: ...  # fmt: skip


SOURCES: dict[str, Reader] = {"mimic": read_mimic, "melbench": read_melbench, "jsonl": read_jsonl}

AUTO = "auto"
"""In a format's place: what the input looks like."""

_LOOKS = {"mimic": (KB_FILE, QID_FILE), "jsonl": OWN_FILES, "melbench": ("*.json", "*.zip")}
"""Names of files of which a folder of the format has one. The first that fits is the format, since
a release in the MIMIC layout consists of .json files, too."""


def recognised(path: Path) -> str:
    """The format of a folder or of a file.

    Raises:
        RecordsError: there is none, or it looks like no format that is recognised.
    """
    if not path.exists():
        raise RecordsError(f"{path}: no such folder or file", _expected())
    if not path.is_dir():
        if path.suffix.lower() in (".json", ".zip"):
            return "melbench"
        raise RecordsError(f"{path}: a file of no format that is recognised", _expected())
    for name, files in _LOOKS.items():
        if any(not file.name.startswith(".") for pattern in files for file in path.glob(pattern)):
            return name
    found = (
        ", ".join(map(plain, sorted(file.name for file in path.iterdir())[:_NAMED])) or "nothing"
    )
    raise RecordsError(
        f"{path}: a folder of no format that is recognised; found {found}", _expected()
    )


_NAMED = 5
"""Files of a folder that a message names."""


def _expected() -> str:
    looks = "; ".join(f"{name}: {' or '.join(files)}" for name, files in _LOOKS.items())
    return f"expected {looks}. Name the input by --input, another format by --source"
