"""The registry of source formats: a name, and the reader that makes canonical records of it.

A new format is one reader and one entry; the commands and the parameters' check read SOURCES.
"""

from pathlib import Path
from typing import Literal, Protocol

from stages.datasets.pictures import KeyCache
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records


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
