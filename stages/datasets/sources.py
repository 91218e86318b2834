"""The registry of source formats: a name, and the reader that makes canonical records of it.

A new format is one reader and one entry; the commands and the parameters' check read SOURCES.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from cache.errors import nearest
from stages.datasets.pictures import KeyCache
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records, RecordsError


class Reader(Protocol):
    """Reads a folder or a file, and checks it.

    Parameters
    ----------
    path: the source; dataset: the data set's name.
    root: the project's folder, which `Records.image_root` is relative to where it can be.
    seed: of the split, where the source has none.
    missing_answer: a mention whose answer is unknown raises, or is dropped and counted.
    keys: digests of pictures that an earlier run has hashed.

    Raises
    ------
    RecordsError: names the file and the record that cannot be read.
    """

    def __call__(
        self,
        path: Path,
        dataset: str,
        /,
        *,
        root: Path,
        seed: int,
        missing_answer: Literal["error", "drop"],
        keys: KeyCache | None,
    ) -> Records: ...


SOURCES: dict[str, Reader] = {
    "mimic": read_mimic,
    "melbench": read_melbench,
    "jsonl": read_jsonl,
}


def read_source(
    source: str,
    path: Path,
    dataset: str,
    *,
    root: Path = Path(),
    seed: int = 0,
    missing_answer: Literal["error", "drop"] = "error",
    keys: KeyCache | None = None,
) -> Records:
    """Read `path` in the format `source`; the parameters are `Reader`'s.

    Raises
    ------
    RecordsError: the source is unknown (the nearest is named) or cannot be read.
    """
    if source not in SOURCES:
        raise RecordsError(
            f"unknown source '{source}'{nearest(source, list(SOURCES))}",
            f"expected one of {', '.join(SOURCES)}",
        )
    return SOURCES[source](
        path, dataset, root=root, seed=seed, missing_answer=missing_answer, keys=keys
    )
