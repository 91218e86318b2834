"""Any source, by its name, into the canonical records."""

from __future__ import annotations

from pathlib import Path

from stages.config import PrepareConfig
from stages.datasets.pictures import KeyCache
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records, RecordsError

SOURCES = ("mimic", "melbench", "jsonl")


def read_source(
    source: str,
    input_path: Path,
    dataset: str,
    config: PrepareConfig,
    key_cache: KeyCache | None = None,
) -> Records:
    """Read `input_path` in the format `source`, one of SOURCES.

    Raises
    ------
    RecordsError: the source is unknown or cannot be read.
    """
    match source:
        case "mimic":
            return read_mimic(input_path, dataset, config.missing_answer, key_cache)
        case "melbench":
            return read_melbench(input_path, dataset, config.seed, config.missing_answer)
        case "jsonl":
            return read_jsonl(input_path, dataset, config.seed, config.missing_answer, key_cache)
    raise RecordsError(f"unknown source '{source}'", f"expected one of {', '.join(SOURCES)}")
