"""Arrays of a .npz file, read without trust: what NumPy wrote uncompressed, and nothing else.

NumPy's own reader allocates what a header asks for, unpacks what is packed, and raises whatever the
zip library or the parser of headers does.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from cache.errors import MelovError, reason

_SUFFIX = ".npy"
_MOST = 32
"""Arrays: the members of a zip file may all be the same bytes of it."""
_UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, SyntaxError,
    RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What the zip library and NumPy raise on damaged files; RuntimeError: a password is asked for."""


def read_npz(data: bytes, where: str, error: Callable[[str], MelovError]) -> dict[str, np.ndarray]:
    """Every array by its name, read-only.

    Args:
        where: opens the message: the file.
        error: the kind of error to raise.

    Raises:
        MelovError: it is no such file; an array is compressed, holds objects, or is not of the size
            that its header tells of.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) != len(members):
                raise ValueError("two arrays of one name")
            if len(members) > _MOST:
                raise ValueError(f"{len(members):,} arrays, more than {_MOST}")
            return {
                member.filename.removesuffix(_SUFFIX): _array(archive, member) for member in members
            }
    except _UNREADABLE as problem:
        raise error(f"{where}: no readable arrays: {reason(problem)}") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED or not member.filename.endswith(_SUFFIX):
        raise ValueError(f"{member.filename!r:.80} is no array as NumPy stores it")
    content = archive.read(member)  # compared with its CRC-32
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{member.filename!r:.80}: version {version} of the format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biufSU":
        raise ValueError(f"{member.filename!r:.80} holds {dtype}, no numbers or texts")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{member.filename!r:.80} is not of the size that it tells")
    flat = np.frombuffer(content, dtype, math.prod(shape), file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")
