"""Giving memory back to the system, once what was large is done: the C library keeps it otherwise."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

LARGE = 4 * 2**20
"""Bytes of a body, or pixels of a photo, from which on what is left of it is given back."""


def give_back() -> None:
    """Gives back what is free, where the C library can (glibc); takes some milliseconds."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
