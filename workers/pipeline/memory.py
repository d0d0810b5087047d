"""How a worker deals with memory: what is used again and again is kept, what a run has left behind is given back."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pyarrow as pa

_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)  # glibc has both, musl neither
_mallopt = getattr(_libc, "mallopt", None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 32 << 20
_ARENAS = 2  # the threads of a run have half a dozen otherwise, each with its own leftovers
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MANY_LINES = 1 << 17
_MUCH_BYTES = 24 << 20


def keep_small() -> None:
    """Keep a little memory between one block of a file and the next: asking the system for it anew takes time.

    To be called before there are threads.
    """
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, _ARENAS)
        _mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        _mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


class Tide:
    """Gives back what rules leave behind, each time that it has become much: not after each, for that takes time."""

    def __init__(self, lines: int) -> None:
        """Begin, for a file of so many lines; a small one never leaves much behind."""
        self._is_worth_it = lines > _MANY_LINES
        self._ground = 0
        if self._is_worth_it:
            self._fall()

    def ebb(self, *, is_last: bool = False) -> None:
        """Give back if there is much, or if something larger than a rule comes next."""
        if self._is_worth_it and (is_last or _resident_bytes() > self._ground + _MUCH_BYTES):
            self._fall()

    def _fall(self) -> None:
        give_back()
        self._ground = _resident_bytes()


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except OSError:  # no Linux: then it is all given back at the end of the run
        return 0


def give_back() -> None:
    """Return memory that nobody uses. After a run of a million lines that is some hundred megabytes."""
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)
