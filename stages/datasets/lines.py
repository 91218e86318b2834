"""JSON Lines and CSV, one record at a time with its `file:line`."""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from cache.quick_json import parse_source
from cache.strict import open_regular
from stages.datasets.encodings import decode, read_text
from stages.datasets.fields import require_count, require_object
from stages.datasets.records import RecordsError
from stages.limits import LINE_BYTES


def json_lines(file: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line`, the file named as one of `folder`, and the object on it."""
    first, records = 0, 0
    with open_regular(file, RecordsError) as opened:
        for number, data in enumerate(bounded_lines(opened, f"{folder}/{file.name}"), start=1):
            where = f"{folder}/{file.name}:{number}"
            line = decode(data, where, first)
            first += len(data)
            if not line or line.isspace():
                continue
            if not records and line.lstrip().startswith("["):
                raise RecordsError(f"{file}: one JSON list, expected one object a line", _jq(file))
            records += 1
            require_count(records, where)
            yield where, require_object(parse_source(line, where, RecordsError), where)


def bounded_lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The lines of a file, none of which is held in memory before its length is known.

    Only a line feed ends a line: `splitlines` would cut at U+2028, which JSON leaves unescaped.

    Raises:
        RecordsError: a line of more than LINE_BYTES, named as `name`:line.
    """
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            is_list = number == 1 and line.lstrip().startswith(b"[")
            raise RecordsError(
                f"{name}:{number}: a line of more than {LINE_BYTES:,} bytes, expected one object a "
                "line",
                _jq(Path(name)) if is_list else None,
            )
        yield line


def _jq(file: Path) -> str:
    return f"convert it: jq -c '.[]' {shlex.quote(str(file))} > NEW"


def records_of(
    file: Path, folder: str, known: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` and the record of each line of a file of JSON Lines or CSV, as its name ends.

    Args:
        known: columns that a CSV file may have, by which its delimiter is found.
    """
    lines = json_lines(file, folder) if file.suffix == ".jsonl" else csv_lines(file, folder, known)
    yield from lines


def csv_lines(
    file: Path, folder: str, known: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` as in `json_lines`, and the row that ends on it; an empty cell is no value.

    Between cells stands a comma, a semicolon or a tab: what gives the header most of the columns
    `known`, and the comma where none does better.
    """
    text, records = read_text(file), 0
    # A cell may be as long as a text in JSON Lines; the module's own limit is 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    delimiter = _delimiter(text, known)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        _check_header(list(reader.fieldnames or ()), f"{folder}/{file.name}:1")
        for row in reader:
            where = f"{folder}/{file.name}:{reader.line_num}"
            records += 1
            require_count(records, where)
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                problem = "more" if None in row else "fewer"
                raise RecordsError(f"{where}: {problem} cells than the header's {columns} columns")
            yield where, {key: value for key, value in row.items() if value or key == "name"}
    except csv.Error as error:
        # DictReader counts a line only once its row is complete; the reader inside counts all.
        raise RecordsError(f"{file}:{reader.reader.line_num}: not CSV: {error}") from None


def _delimiter(text: str, known: Sequence[str]) -> str:
    header = text.partition("\n")[0].rstrip("\r")
    named = {mark: {cell.strip('"') for cell in header.split(mark)} for mark in ",;\t"}
    return max(named, key=lambda mark: len(named[mark] & set(known)))  # the first of equals


def _check_header(columns: list[str], where: str) -> None:
    """A value of a repeated column would replace the first's without a word."""
    first: dict[str, int] = {}
    for number, name in enumerate(columns, start=1):
        if not name.strip():
            raise RecordsError(f"{where}: column {number} of the header has no name")
        if name in first:
            raise RecordsError(
                f"{where}: column '{name}' twice: columns {first[name]} and {number}"
            )
        first[name] = number
