"""JSON files and the fields of their records, with errors that name file, record and field."""

import codecs
import re
from pathlib import Path
from typing import Any

from cache import strict
from cache.quick_json import parse_source
from stages.datasets.records import Findings, RecordsError
from stages.limits import FILE_BYTES, ID_CHARACTERS, RECORDS

ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
KINDS = {str: "a string", int: "an integer", list: "a list", dict: "an object", float: "a number"}

KEYS_NAMED = 20
"""Of a record that lacks a field: as many of those that it has are named."""

OTHER_FORMATS = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"PK\x03\x04", "a zip archive", "unzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"PAR1", "Parquet", None),
    (codecs.BOM_UTF32_LE, "UTF-32 (byte order mark)", "iconv -f UTF-32 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF32_BE, "UTF-32 (byte order mark)", "iconv -f UTF-32 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF16_LE, "UTF-16 (byte order mark)", "iconv -f UTF-16 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF16_BE, "UTF-16 (byte order mark)", "iconv -f UTF-16 -t UTF-8 OLD > NEW"),
)
"""How a file begins that is no plain UTF-8, what it is then, and the command that makes it one."""


def decode(data: bytes, where: str, first: int = 0) -> str:
    """UTF-8, with or without a byte order mark.

    Args:
        first: where `data` begins in its file.

    Raises:
        RecordsError: the bytes are something else. Guessing an encoding would turn names into other
            names, so the file has to be converted.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        for begin, what, command in OTHER_FORMATS:
            if data.startswith(begin):
                hint = command and f"convert it first: {command}"
                raise RecordsError(f"{where}: {what}, expected UTF-8 text", hint) from None
        at = first + len(data) - len(error.object) + error.start
        raise RecordsError(
            f"{where}: not UTF-8: byte 0x{error.object[error.start]:02x} at offset {at}",
            "if it is Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from None
    if "\0" in text:
        at = text.index("\0")
        hint = "if it is UTF-16 without a byte order mark: iconv -f UTF-16LE -t UTF-8 OLD > NEW"
        raise RecordsError(f"{where}: a NUL character at {at}, no text", hint)
    return text


def read_json(path: Path) -> Any:
    """A whole regular file's JSON.

    Raises:
        RecordsError: as `read_text` and `parse_json` say.
    """
    return parse_json(strict.read_regular(path, RecordsError, FILE_BYTES), str(path))


def read_text(path: Path) -> str:
    """A whole regular file as text.

    Raises:
        RecordsError: it is missing, unreadable, a pipe or a device, too large, or not UTF-8.
    """
    return decode(strict.read_regular(path, RecordsError, FILE_BYTES), str(path))


def parse_json(data: bytes, where: str) -> Any:
    """JSON as sources write it; raises RecordsError as `decode` and `parse_source` do."""
    return parse_source(decode(data, where), where, RecordsError, data)


def kind_of(value: Any) -> str:
    """What a value is, in the words of an error message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return KINDS.get(type(value), type(value).__name__)


def require(record: dict[str, Any], field: str, kind: type, where: str) -> Any:
    """`record[field]`, which must be a `kind`.

    Raises:
        RecordsError: the field is missing (the keys present are named) or holds another kind.
    """
    if field not in record:
        present = ", ".join(map(strict.plain, sorted(record)[:KEYS_NAMED])) or "none"
        more = f" and {len(record) - KEYS_NAMED:,} more" if len(record) > KEYS_NAMED else ""
        raise RecordsError(f"{where}: no field '{field}'; keys present: {present}{more}")
    value = record[field]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RecordsError(
            f"{where}: field '{field}' is {kind_of(value)} ({strict.short(value)}), "
            f"expected {KINDS[kind]}"
        )
    return value


def require_object(value: Any, where: str) -> dict[str, Any]:
    """A record, which must be a JSON object."""
    if not isinstance(value, dict):
        raise RecordsError(f"{where}: expected an object, found {kind_of(value)}")
    return value


def optional_text(record: dict[str, Any], field: str, where: str) -> str | None:
    """`record[field]` as a string; None where it is absent or null."""
    return None if record.get(field) is None else require(record, field, str, where)


def require_count(records: int, where: str) -> None:
    """Refuse a file of too many records.

    Raises:
        RecordsError: there are more than RECORDS.
    """
    if records > RECORDS:
        raise RecordsError(f"{where}: more than {RECORDS:,} records in one file")


def require_identifier(text: str, where: str, field: str = "id") -> str:
    """An id, which is never cut: it would be another one.

    Raises:
        RecordsError: it is longer than ID_CHARACTERS, or holds a lone surrogate.
    """
    if not strict.encodes(text):
        raise RecordsError(f"{where}: {field} {strict.short(text)} holds a lone surrogate, no text")
    if len(text) > ID_CHARACTERS:
        raise RecordsError(
            f"{where}: field '{field}' has {len(text):,} characters ({strict.short(text)}), more "
            f"than {ID_CHARACTERS:,}"
        )
    return text


def well_formed(text: str, where: str, findings: Findings) -> str:
    """`text` without lone surrogates, which JSON can spell but no UTF-8 file can hold; counted."""
    try:
        text.encode()
    except UnicodeEncodeError:
        what = "lone surrogates in a text, replaced by U+FFFD"
        findings.add("lone-surrogate", what, where)
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def percent_decode(text: str) -> tuple[str, bool]:
    """`text` decoded, and whether it holds a sequence that is not percent-encoded UTF-8.

    Such a sequence stays as it stands: `100%` and the Latin-1 `%E9` are kept.
    """
    if "%" not in text:
        return text, False
    bad = STRAY_PERCENT.search(text) is not None

    def decoded(match: re.Match[str]) -> str:
        nonlocal bad
        try:
            return bytes.fromhex(match[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            bad = True
            return match[0]

    return ESCAPES.sub(decoded, text), bad


def decoded_text(text: str, where: str, findings: Findings) -> str:
    """Percent-decoded and well-formed; what cannot be decoded is kept and counted."""
    result, bad = percent_decode(text)
    if bad:
        what = "names with a bad percent sequence, which is kept as it stands"
        findings.add("bad-percent-sequence", what, f"{where}: {strict.short(text)}")
    return well_formed(result, where, findings)
