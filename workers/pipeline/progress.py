"""How far an attempt is, in figures and as one percentage that never steps back.

Parsing is worth 50 %, loading 25 %, rules 15 %, storing results 10 %. Parsing and loading overlap, so their shares
add up rather than follow each other.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any

from facnet_grpc.model.glimpse import MOST, Glimpse
from facnet_grpc.model.run import Progress, RunPhase, SeverityCounts

PARSING, LOADING, RULES, RESULTS = 50.0, 25.0, 15.0, 10.0


class ProgressBoard:
    """Written by the threads that work, read by the one that reports."""

    def __init__(self, attempt: int, total_bytes: int) -> None:
        self._lock = Lock()
        self._progress = Progress(attempt, RunPhase.LOADING, 0.0, total_bytes=total_bytes)
        self._bytes_loaded = 0

    @property
    def progress(self) -> Progress:
        """The figures as they are now: equal until something moves."""
        return self._progress

    def parsed(self, *, bytes_parsed: int, rows_parsed: int, rows_rejected: int) -> None:
        """Note how far the parser is: figures for the file so far."""
        self._move(bytes_parsed=bytes_parsed, rows_parsed=rows_parsed, rows_rejected=rows_rejected)

    def loaded(self, *, bytes_loaded: int, rows_loaded: int) -> None:
        """Note what PostgreSQL has taken: the position in the file and the rows, both so far."""
        self._bytes_loaded = bytes_loaded
        self._move(rows_loaded=rows_loaded)

    def judged(self, *, done: int, total: int, counts: SeverityCounts, preview: tuple[Glimpse, ...] = ()) -> None:
        """Note that `done` of `total` rules have run, and what they found so far; `preview` is the last one's."""
        percent = PARSING + LOADING + RULES * _share(done, total)
        shown = (*self._progress.preview, *preview)[:MOST]
        self._move(percent, phase=RunPhase.RULES, result_counts=counts, preview=shown)

    def stored(self, *, done: int, total: int) -> None:
        """Note that `done` of `total` results are stored."""
        self._move(PARSING + LOADING + RULES + RESULTS * _share(done, total), phase=RunPhase.STORING_RESULTS)

    def finished(self) -> Progress:
        """Note that everything is committed, and return the last figures."""
        self.stored(done=1, total=1)
        return self.progress

    def _move(self, percent: float | None = None, **figures: Any) -> None:
        with self._lock:
            moved = replace(self._progress, **figures)
            reached = self._load_percent(moved) if percent is None else percent
            self._progress = replace(moved, percent=min(100.0, max(self._progress.percent, reached)))

    def _load_percent(self, progress: Progress) -> float:
        total = progress.total_bytes
        return PARSING * _share(progress.bytes_parsed, total) + LOADING * _share(self._bytes_loaded, total)


def _share(done: int, total: int) -> float:
    return min(1.0, done / total) if total > 0 else 1.0
