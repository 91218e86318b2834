"""Small tables that spare work and that nothing depends on: Parquet behind a checksum."""

import io
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cache.files import atomic_path
from cache.sealed import digest_of

logger = logging.getLogger(__name__)

_HEAD = 32


def remembered(path: Path | None, schema: pa.Schema, instead: str) -> dict[str, list[Any]]:
    """The table's columns; none of them has a row where there is no file, or a damaged one.

    Args:
        instead: what is done again then, for the warning.
    """
    nothing: dict[str, list[Any]] = {name: [] for name in schema.names}
    if path is None or not path.exists():
        return nothing
    try:
        content = path.read_bytes()
        if digest_of(content[_HEAD:]).encode() != content[:_HEAD]:
            raise ValueError("its checksum differs")
        table = pq.read_table(pa.BufferReader(content[_HEAD:]))
        if table.schema != schema:
            raise ValueError("it has other columns")
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pa.ArrowException, OSError, ValueError) as error:
        logger.warning("%s: damaged, %s (%s)", path, instead, error)
        return nothing
    return columns


def remember(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(digest_of(buffer.getvalue()).encode() + buffer.getvalue())
