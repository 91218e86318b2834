"""The file that HDF5 writes to."""

import io
from typing import Any


class HDF5File(io.FileIO):
    """A file whose writes never fail; the first error waits until somebody asks.

    HDF5 does not get over a write that fails: at best it raises an error without number or path
    when the file is closed, at worst it ends the interpreter. So it is told nothing, not even of
    Ctrl-C. After an error all writes are dropped, and the file is worthless.
    """

    _error: BaseException | None = None

    def require(self) -> None:
        """Raises what the first write that failed had raised, if one has."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        count = len(left)
        try:
            while left and self._error is None:
                left = left[super().write(left) :]
        except BaseException as error:
            self._error = error
        return count

    def truncate(self, size: int | None = None) -> int:
        try:
            if self._error is None:
                return super().truncate(size)
        except BaseException as error:
            self._error = error
        return size or 0
