"""How a worker deals with memory: what is used again and again is kept, what a run has left behind is given back."""

from __future__ import annotations

import ctypes

import pyarrow as pa

_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)  # glibc has both, musl neither
_mallopt = getattr(_libc, "mallopt", None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20
_LARGE_BYTES = 32 << 20


def keep_small() -> None:
    """Keep a little memory between one block of a file and the next: asking the system for it anew takes time."""
    if _mallopt is not None:
        _mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        _mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return memory that nobody uses. After a run of a million lines that is some hundred megabytes."""
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)
