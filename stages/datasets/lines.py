"""JSON Lines and CSV, one record at a time with its `file:line`."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.datasets.fields import parse_json, read_text, require_object
from stages.datasets.records import RecordsError


def json_lines(file: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line`, the file named as one of `folder`, and the object on it."""
    # split("\n"), since splitlines would cut at U+2028, which JSON leaves unescaped.
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            where = f"{folder}/{file.name}:{number}"
            yield where, require_object(parse_json(line, where), where)


def csv_lines(file: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` as in `json_lines`, and the row that ends on it; an empty cell is no value."""
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
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
