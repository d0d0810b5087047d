"""How a worker deals with memory: what is used again and again is kept, what a run has left behind is given back.

What the first run would otherwise wait for: libraries that load and compile on first use.
"""

from __future__ import annotations

import ctypes
import os
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa

from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.engine import RuleOutcome, run_rules
from facnet_grpc.rules.registry import Registry, for_run
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.sample.writer import write_sample

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


def configure_malloc() -> None:
    """Keep a little memory between one block of a file and the next: asking the system for it anew takes time.

    To be called before there are threads.
    """
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, _ARENAS)
        _mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        _mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


class MemoryTrimmer:
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
        release_memory()
        self._ground = _resident_bytes()


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except OSError:  # no Linux: then it is all given back at the end of the run
        return 0


def release_memory() -> None:
    """Return memory that nobody uses. After a run of a million lines that is some hundred megabytes."""
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)


_LINES = 200
log = get_logger(__name__)


def warmup(registry: Registry) -> None:
    """Read and judge a small synthetic file, once per process. Never raises: it only saves time."""
    try:
        sample = BytesIO()
        write_sample(_LINES, sample)
        content, collector = sample.getvalue(), LineCollector()
        with open_claims(lambda: BytesIO(content), len(content)) as file:
            for batch in file.batches():
                collector.add(batch.lines)
        rules = for_run(registry.select(()), datetime.now(UTC))
        run_rules(collector.finish(), shipped(), rules, between=_go_on)
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("not_warmed_up", **exception_fields(error))
    finally:
        release_memory()


def _go_on(_: RuleOutcome | None) -> None:
    pass
