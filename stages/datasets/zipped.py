"""The one JSON file of a zip archive, unpacked in memory, with limits on all that the archive says.

Nothing is written to the disk, so no member's name can lead anywhere.
"""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from cache.strict import open_regular, plain
from stages.datasets.fields import parse_json
from stages.datasets.records import RecordsError
from stages.limits import (
    ARCHIVE_BYTES,
    ARCHIVE_MEMBERS,
    UNPACKED_BYTES,
    UNPACKED_FREE,
    UNPACKED_RATIO,
)

CHUNK = 2**20
LISTED_BYTES = 1024 * ARCHIVE_MEMBERS
"""Of the list of members: long names, comments and all."""
MEMBERS_NAMED = 10
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What zip tools write unless asked. Of others, Python unpacks a few bytes to gigabytes at once."""
UNPACK = "unzip it, and pass the .json as --input"

# What zipfile raises. NotImplementedError: a version or a way of packing that it does not know;
# LookupError: an encoding of names that cannot be loaded, as when no file can be opened any more.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, NotImplementedError, LookupError,
    ValueError, OverflowError, EOFError,
)  # fmt: skip


def json_in_zip(file: Path) -> Any:
    """What the one .json that the archive holds says.

    Raises:
        RecordsError: it is no zip file or a damaged one; it holds none, several, or one that is
            encrypted, packed in an uncommon way, or larger than the limits; or no usable JSON.
    """
    with open_regular(file, RecordsError, ARCHIVE_BYTES) as opened:
        try:
            listed = _directory_bytes(opened)
            if listed > LISTED_BYTES:
                raise RecordsError(
                    f"{file}: {listed:,} bytes of members' names, as of more than "
                    f"{ARCHIVE_MEMBERS:,} members",
                    UNPACK,
                )
            with zipfile.ZipFile(opened) as archive:
                member = _one_json(file, archive.infolist())
                with archive.open(member) as packed:
                    data = _unpacked(packed, member, f"{file}: {plain(member.filename)}")
        except _DAMAGED as error:
            raise RecordsError(f"{file}: not a readable zip file: {error}") from None
    return parse_json(data, f"{file}: {plain(member.filename)}")


def _one_json(file: Path, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    if len(members) > ARCHIVE_MEMBERS:
        raise RecordsError(f"{file}: {len(members):,} members, more than {ARCHIVE_MEMBERS:,}")
    found = [
        member for member in members
        if member.filename.lower().endswith(".json")
        and not member.filename.startswith("__MACOSX/")
    ]  # fmt: skip
    if len(found) != 1:
        names = [plain(member.filename) for member in found]
        listed = ", ".join(names[:MEMBERS_NAMED]) or "none"
        more = f" and {len(names) - MEMBERS_NAMED} more" if len(names) > MEMBERS_NAMED else ""
        raise RecordsError(f"{file}: expected exactly one .json inside, found {listed}{more}")
    where = f"{file}: {plain(found[0].filename)}"
    if found[0].flag_bits & 1:
        raise RecordsError(f"{where}: encrypted", UNPACK)
    if found[0].compress_type not in METHODS:
        raise RecordsError(f"{where}: packed by method {found[0].compress_type}", UNPACK)
    return found[0]


def _unpacked(packed: IO[bytes], member: zipfile.ZipInfo, where: str) -> bytes:
    """All bytes of a member; what it says of its size is not trusted."""
    most = max(UNPACKED_FREE, UNPACKED_RATIO * member.compress_size)
    data = bytearray()
    while chunk := packed.read(CHUNK):
        data += chunk
        if len(data) > UNPACKED_BYTES:
            raise RecordsError(f"{where}: more than {UNPACKED_BYTES:,} bytes unpacked")
        if len(data) > most:
            raise RecordsError(
                f"{where}: unpacks to more than {most:,} bytes, {UNPACKED_RATIO} times its size in "
                "the archive: a decompression bomb",
                f"if it is none, {UNPACK}",
            )
    return bytes(data)


def _directory_bytes(file: IO[bytes]) -> int:
    """Size of the list of members, all of which `zipfile` reads into memory before anything else;
    0 where there is none to be found, as `zipfile` will say."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 128))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    listed = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    locator = tail[max(0, end - 20) : max(0, end)]
    if locator.startswith(b"PK\6\7"):  # zip64: the sizes stand in a record of their own
        file.seek(min(size, int.from_bytes(locator[8:16], "little")))
        listed = int.from_bytes(file.read(56)[40:48], "little")
    file.seek(0)
    return listed
