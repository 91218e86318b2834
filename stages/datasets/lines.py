"""JSON Lines and CSV, one record at a time with its `file:line`."""

import csv
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.datasets.fields import parse_json, read_text, require_object
from stages.datasets.records import RecordsError


def json_lines(file: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line`, the file named as one of `folder`, and the object on it."""
    text = read_text(file)
    if text.lstrip()[:1] == "[":
        raise RecordsError(
            f"{file}: one JSON list, expected one object a line",
            f"convert it: jq -c '.[]' {shlex.quote(str(file))} > NEW",
        )
    # split("\n"), since splitlines would cut at U+2028, which JSON leaves unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{folder}/{file.name}:{number}"
            yield where, require_object(parse_json(line, where), where)


def csv_lines(file: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` as in `json_lines`, and the row that ends on it; an empty cell is no value."""
    text = read_text(file)
    # A cell may be as long as a text in JSON Lines; the module's own limit is 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _check_header(list(reader.fieldnames or ()), f"{folder}/{file.name}:1")
        for row in reader:
            where = f"{folder}/{file.name}:{reader.line_num}"
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                problem = "more" if None in row else "fewer"
                raise RecordsError(f"{where}: {problem} cells than the header's {columns} columns")
            yield where, {key: value for key, value in row.items() if value or key == "name"}
    except csv.Error as error:
        # DictReader counts a line only once its row is complete; the reader inside counts all.
        raise RecordsError(f"{file}:{reader.reader.line_num}: not CSV: {error}") from None


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
