"""The C library's memory allocator."""

from __future__ import annotations

import ctypes


def release_free_memory() -> None:
    """Gives memory that was freed back to the system, where the C library can (glibc's)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
