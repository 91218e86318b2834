"""Text of sources, which is UTF-8; a file of another kind is told by its first bytes."""

import codecs
from pathlib import Path

from cache import strict
from stages.datasets.records import RecordsError
from stages.limits import FILE_BYTES

FORMATS = (
    (b"\x1f\x8b", "gzip", "gunzip -c OLD > NEW"),
    (b"PK\x03\x04", "a zip archive", "unzip -p OLD > NEW"),
    (b"BZh", "bzip2", "bunzip2 -c OLD > NEW"),
    (b"\xfd7zXZ", "xz", "unxz -c OLD > NEW"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd -c OLD > NEW"),
    (
        b"PAR1", "Parquet", "python -c 'import json, pyarrow.parquet as p; "
        '[print(json.dumps(row)) for row in p.read_table("OLD").to_pylist()]\' > NEW',
    ),
    (codecs.BOM_UTF32_LE, "UTF-32 (byte order mark)", "iconv -f UTF-32 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF32_BE, "UTF-32 (byte order mark)", "iconv -f UTF-32 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF16_LE, "UTF-16 (byte order mark)", "iconv -f UTF-16 -t UTF-8 OLD > NEW"),
    (codecs.BOM_UTF16_BE, "UTF-16 (byte order mark)", "iconv -f UTF-16 -t UTF-8 OLD > NEW"),
)  # fmt: skip
"""How a file begins that is no plain UTF-8, what it is then, and the command that makes it one."""

LFS = b"version https://git-lfs"
PAGES = (b"<!doctype", b"<html", b"<?xml")


def decode(data: bytes, where: str, first: int = 0) -> str:
    """UTF-8, with or without a byte order mark.

    Args:
        first: where `data` begins in its file.

    Raises:
        RecordsError: the bytes are something else. Guessing an encoding would turn names into other
            names, so the file has to be converted.
    """
    if not data.startswith(b"{"):  # a line of JSON is none of them, and there are many
        _refuse_other_files(data, where)
    if b"\0" in data:
        of_even, of_odd = (data[(first + i) % 2 :: 2].count(0) for i in range(2))
        form = "UTF-16LE" if of_even < of_odd else "UTF-16BE"
        raise RecordsError(
            f"{where}: a NUL byte at offset {first + data.index(0)}, no text",
            f"if it is UTF-16 without a byte order mark: iconv -f {form} -t UTF-8 OLD > NEW",
        )
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        at = first + len(data) - len(error.object) + error.start
        raise RecordsError(
            f"{where}: not UTF-8: byte 0x{error.object[error.start]:02x} at offset {at}",
            "if it is Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from None


def read_text(path: Path) -> str:
    """A whole regular file as text.

    Raises:
        RecordsError: it is missing, unreadable, a pipe or a device, too large, or not UTF-8.
    """
    return decode(strict.read_regular(path, RecordsError, FILE_BYTES), str(path))


def _refuse_other_files(data: bytes, where: str) -> None:
    for begin, what, command in FORMATS:
        if data.startswith(begin):
            raise RecordsError(f"{where}: {what}, expected UTF-8 text", f"convert it: {command}")
    if data.startswith(LFS):
        hint = "fetch the file: git lfs pull"
        raise RecordsError(f"{where}: a Git LFS pointer, not the file itself", hint)
    start = data[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:1] == b"<" and start.lower().startswith(PAGES):
        raise RecordsError(
            f"{where}: a page of HTML or XML, not the file that was asked for",
            "download it again, by the link to the file itself",
        )
