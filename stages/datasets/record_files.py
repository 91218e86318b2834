"""The files of a folder of records, read back.

A right checksum says who wrote a file last, not that it holds records: so schema, sizes and rows of
other tables are compared, before any of them is used.
"""

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cache.errors import DamagedError, reason
from cache.sealed import Sealed
from cache.strict import short
from stages.datasets.entity_columns import broken, with_optional
from stages.datasets.flags import FLAGS
from stages.paths import SPLITS
from stages.section import Section, checked

ROWS_OF = {"picture": (-1, "pictures"), "pictures": (0, "pictures"), "gold": (0, "entities")}
"""Columns that name rows of another table: the lowest value (-1 is none), and that table."""


NULLABLE = ("image_kind", "flags", "start", "end")


class FindingItem(Section):
    """An entry of `findings`."""

    code: str
    what: str
    count: int
    examples: list[str]
    dropped: bool


class RecordsIndex(Section):
    """`records.json`."""

    layout: int
    dataset: str
    source: str
    input: str = ""
    image_root: str
    text_field: str
    counts: dict[str, int]
    findings: list[FindingItem]
    digest: str


def read_index(sealed: Sealed) -> RecordsIndex:
    """Raises DamagedError where a field is missing or of another type."""
    return checked(RecordsIndex, sealed)


def read_tables(
    sealed: Sealed, index: RecordsIndex, schemas: Mapping[str, pa.Schema]
) -> dict[str, pa.Table]:
    """Every table by its file's name.

    Raises:
        DamagedError: one is another file than was written, no Parquet, of another schema or size,
            lacks values, or names a row that another table does not have.
    """
    tables = {
        name: _table(sealed, name, schema, index.counts.get(name.removeprefix("mentions-"), -1))
        for name, schema in schemas.items()
    }
    _require_keys(sealed, tables["pictures"])
    for name, table in tables.items():
        if "flags" in table.column_names:
            _require_flags(sealed, name, table["flags"])
        if "split" in table.column_names:
            _require_splits(sealed, name, table["split"])
        if "start" in table.column_names:
            _require_spans(sealed, name, table)
    for name, table in tables.items():
        for column, (least, other) in ROWS_OF.items():
            if column in table.column_names:
                _require_rows(sealed, name, table[column], least, tables[other].num_rows)
    return tables


def _table(sealed: Sealed, name: str, schema: pa.Schema, rows: int) -> pa.Table:
    data = sealed.bytes_of(f"{name}.parquet")
    try:
        table = pq.read_table(pa.BufferReader(data))
        if name == "entities":
            schema = with_optional(schema, table.column_names)
        if table.column_names != schema.names:
            raise ValueError(f"columns {table.column_names}, expected {schema.names}")
        table = table.cast(schema)
        table.validate(full=True)  # texts are UTF-8, lists lie within their values
        if table.num_rows != rows:
            raise ValueError(f"{table.num_rows:,} rows, {sealed.path.name} tells of {rows:,}")
        for column in schema.names:
            if column not in NULLABLE and table[column].null_count:
                raise ValueError(f"column '{column}' lacks values")
        if name == "entities" and (problem := broken(table)):
            raise ValueError(problem)
    except (pa.ArrowException, OSError, ValueError) as error:
        _damaged(sealed, name, reason(error))
    return table


def _require_rows(sealed: Sealed, name: str, column: pa.ChunkedArray, least: int, n: int) -> None:
    if pa.types.is_list(column.type):
        inner = [chunk.flatten() for chunk in column.chunks]
        column = pa.chunked_array(inner, column.type.value_type)
    if column.null_count:
        _damaged(sealed, name, "a list of rows lacks values")
    rows: np.ndarray = column.to_numpy()
    wrong = (rows < least) | (rows >= n)
    if wrong.any():
        _damaged(sealed, name, f"row {rows[wrong.argmax()]} of another table, which has {n:,}")


def _require_flags(sealed: Sealed, name: str, flags: pa.ChunkedArray) -> None:
    for own in flags.combine_chunks().flatten().unique().to_pylist():
        if own not in FLAGS:
            _damaged(sealed, name, f"column 'flags' holds {short(own)}, which is no flag")


def _require_splits(sealed: Sealed, name: str, splits: pa.ChunkedArray) -> None:
    for own in splits.unique().to_pylist():
        if own not in SPLITS:
            _damaged(sealed, name, f"column 'split' holds {short(own)}, which is no split")


def _require_spans(sealed: Sealed, name: str, table: pa.Table) -> None:
    columns = (table[column].to_pylist() for column in ("words", "sentence", "start", "end"))
    for row, (words, sentence, start, end) in enumerate(zip(*columns, strict=True)):
        if start is end is None:
            continue
        if None in (start, end) or start < 0 or sentence[start:end] != words:
            _damaged(sealed, name, f"row {row}: the mention does not stand where start and end say")


def _require_keys(sealed: Sealed, pictures: pa.Table) -> None:
    """Every picture that is there has a hash and a size."""
    there = pictures.filter(pc.equal(pictures["status"], "ok"))
    if not all(pc.match_substring_regex(there["key"], "^[0-9a-f]{32}$").to_pylist()):
        _damaged(sealed, "pictures", "column 'key' holds what is no hash")
    if (pictures["bytes"].to_numpy() < 0).any():
        _damaged(sealed, "pictures", "column 'bytes' holds a negative size")


def _damaged(sealed: Sealed, name: str, what: str) -> NoReturn:
    path = sealed.path.parent / f"{name}.parquet"
    raise DamagedError(f"{path}: damaged: {what}", sealed.hint) from None
