"""The memory of a worker process, and its warm-up: libraries that load and compile on first use."""

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
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import Registry, for_run
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.sample.writer import write_sample

_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)  # glibc has both, musl neither
_mallopt = getattr(_libc, "mallopt", None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 32 << 20
_ARENAS = 2  # by default each thread of a run gets an arena, which keeps what the thread frees
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIN_LINES = 1 << 17
_TRIM_BYTES = 24 << 20
_WARMUP_LINES = 200
log = get_logger(__name__)


def configure_malloc() -> None:
    """Let malloc keep some memory between blocks of a file, and use few arenas. Call it before starting threads."""
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, _ARENAS)
        _mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        _mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


class MemoryTrimmer:
    """Returns memory that rules have freed to the system, whenever it has become much: each time costs time."""

    def __init__(self, lines: int) -> None:
        """Begin, for a file of so many lines; nothing is done for a small one."""
        self._is_enabled = lines > _MIN_LINES
        self._baseline_bytes = 0
        if self._is_enabled:
            self._release()

    def trim(self, *, is_last: bool = False) -> None:
        """Release memory if there is much of it, or if this was the last rule: storing results needs more."""
        if self._is_enabled and (is_last or _resident_bytes() > self._baseline_bytes + _TRIM_BYTES):
            self._release()

    def _release(self) -> None:
        release_memory()
        self._baseline_bytes = _resident_bytes()


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except OSError:  # not on Linux: memory is then released at the end of the run only
        return 0


def release_memory() -> None:
    """Return unused memory to the system: some hundred megabytes after a run of a million lines."""
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)


def warmup(registry: Registry) -> None:
    """Parse and evaluate a small synthetic file. Never raises: it only saves the first run some time."""
    try:
        sample = BytesIO()
        write_sample(_WARMUP_LINES, sample)
        content, collector = sample.getvalue(), LineCollector()
        with open_claims(lambda: BytesIO(content), len(content)) as file:
            for batch in file.batches():
                collector.add(batch.lines)
        rules = for_run(registry.select(()), datetime.now(UTC))
        run_rules(collector.finish(), shipped(), rules, on_rule_done=lambda _: None)
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("not_warmed_up", **exception_fields(error))
    finally:
        release_memory()
