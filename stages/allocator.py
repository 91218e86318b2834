"""Keeps freed memory for the next batch.

glibc returns a layer's activations, tens of megabytes, to the system as soon as they are freed, and
faults the same pages in again for the next layer: a fifth of an encoder's time on a CPU.
"""

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BYTES = 2**30
_MOST_OF_OLDER = 2**25  # HEAP_MAX_SIZE / 2: more is refused by older glibc


@cache
def keep_freed_memory() -> None:
    """Let the process keep up to a gibibyte of freed memory. Has no effect where the C library is
    not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
    # First: setting any threshold ends glibc's own adjustment of this one.
    if not mallopt(_M_MMAP_THRESHOLD, _BYTES):
        mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLDER)
    mallopt(_M_TRIM_THRESHOLD, _BYTES)
