"""JSON files and the fields of their records, with errors that name file, record and field."""

import re
import shlex
from collections.abc import Container
from pathlib import Path
from typing import Any

from cache import strict
from cache.quick_json import MORE_JSON, parse_source
from stages.datasets.encodings import decode
from stages.datasets.findings import Findings
from stages.datasets.records import RecordsError
from stages.limits import FILE_BYTES, ID_CHARACTERS, RECORDS
from stages.paths import NIL
from stages.unicode import canonical

ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
KINDS = {str: "a string", int: "an integer", list: "a list", dict: "an object", float: "a number"}

KEYS_NAMED = 20
"""Of a record that lacks a field: as many of those that it has are named."""


def read_json(path: Path) -> Any:
    """A whole regular file's JSON.

    Raises:
        RecordsError: as `read_regular` and `parse_json` say; JSON Lines are told with the command
            that makes one list of them.
    """

    def error(message: str) -> RecordsError:
        if not message.endswith(MORE_JSON):
            return RecordsError(message)
        file = shlex.quote(str(path))
        return RecordsError(message, f"if it has one object a line: jq -s . {file} > NEW")

    data = strict.read_regular(path, RecordsError, FILE_BYTES)
    return parse_source(decode(data, str(path)), str(path), error, data)


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


def says_nil(answer: str, ids: Container[str] = ()) -> bool:
    """Whether a source says by its answer that no entity is meant: `nil`, in any case and with
    blanks around it. An entity of that very id, one of `ids`, is meant instead."""
    return answer.strip().lower() == NIL and answer not in ids


def normalised(text: str, where: str, findings: Findings, field: str = "id") -> str:
    """An id in NFC, so that two spellings of one are one; an id that was not is counted."""
    form = canonical(text)
    if form != text:
        what = "ids that were not in Unicode's form NFC, normalised"
        findings.add("id-not-nfc", what, f"{where}: {field} {form}")
    return form


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
