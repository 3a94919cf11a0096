"""Memory that a training step frees and the next one needs again stays with the process.

glibc gives large blocks back to the system when they are freed, and the system hands them out again page by
page, zeroed. A training step frees and takes every activation.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# From malloc.h. Setting one of them ends glibc's own adjustment, so the values after are those it grows to by
# itself in a process that takes and frees large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEP = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}
_USUAL = {_TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20, _MMAP_MAX: 65536}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within, freed memory is kept for the next allocation; after, it is given back to the system.

    It concerns the whole process. Where the C library is not glibc it does nothing.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    _set(libc, _KEEP)
    try:
        yield
    finally:
        _set(libc, _USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
