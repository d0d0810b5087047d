"""What a watcher sees of a run, put together from PostgreSQL and from events, and never going back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from facnet_grpc.model.result import ResultPreview
from facnet_grpc.model.run import Run, RunEvent, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.scheduling.forecast import left
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.runs.estimate import NOTHING, Estimate


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The state of a run at one moment. Sizes in bytes, percent from 0 to 100."""

    run_id: UUID
    status: RunStatus
    attempt: int
    percent: float
    phase: RunPhase | None = None
    bytes_parsed: int = 0
    total_bytes: int = 0
    rows_parsed: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    result_counts: SeverityCounts = field(default_factory=SeverityCounts)
    queue_position: int | None = None
    ends_at: datetime | None = field(default=None, compare=False)  # expected, while it waits: alone no reason to speak
    started_at: datetime | None = None
    error_code: str | None = None
    error_params: Mapping[str, Any] = field(default_factory=dict)
    preview: tuple[ResultPreview, ...] = ()

    @property
    def order(self) -> tuple[int, bool]:
        """Attempts follow each other; within one, waiting for the next comes after working."""
        return self.attempt, self.status is RunStatus.QUEUED

    @property
    def cursor(self) -> Cursor:
        """Where to go on after this view."""
        return Cursor(self.run_id, self.attempt, self.percent)

    def eta(self, now: datetime) -> timedelta | None:
        """Return the time until the end; None if it cannot be told."""
        if self.status is RunStatus.QUEUED and self.ends_at is not None:
            return self.ends_at - now if self.ends_at > now else None
        if self.status is not RunStatus.PROCESSING or self.started_at is None:
            return None
        return left(max(now - self.started_at, timedelta()), self.percent)


def from_run(run: Run, expected: Estimate = NOTHING) -> RunSnapshot:
    """Return the view of a run as PostgreSQL has it."""
    return RunSnapshot(
        run_id=run.id,
        status=run.status,
        attempt=run.attempt,
        percent=run.percent,
        phase=run.phase,
        bytes_parsed=run.bytes_parsed,
        total_bytes=run.size_bytes,
        rows_parsed=run.total_rows,
        rows_loaded=run.processed_rows,
        rows_rejected=run.rejected_rows,
        result_counts=run.result_counts,
        queue_position=expected.position if run.status is RunStatus.QUEUED else None,
        ends_at=expected.ends_at if run.status is RunStatus.QUEUED else None,
        started_at=run.started_at,
        error_code=run.error_code,
        error_params=run.error_params,
    )


def from_event(event: RunEvent) -> RunSnapshot | None:
    """Return the view in an event; None if PostgreSQL has to be asked: it knows why a run ended or waits."""
    progress = event.progress
    if progress is None or event.status is not RunStatus.PROCESSING:
        return None
    return RunSnapshot(
        run_id=event.run_id,
        status=event.status,
        attempt=progress.attempt,
        percent=progress.percent,
        phase=progress.phase,
        bytes_parsed=progress.bytes_parsed,
        total_bytes=progress.total_bytes,
        rows_parsed=progress.rows_parsed,
        rows_loaded=progress.rows_loaded,
        rows_rejected=progress.rows_rejected,
        result_counts=progress.result_counts,
        preview=progress.preview,
    )


def merge(old: RunSnapshot, new: RunSnapshot) -> RunSnapshot:
    """Return what is known after `new` has come to light: never older than either, whichever way they came."""
    if old.status.is_terminal:
        return old
    if new.status.is_terminal:
        return _lifted(new, old.attempt, old.percent)
    if new.order < old.order:
        return old
    if new.attempt != old.attempt:
        return new
    return replace(
        new,
        percent=max(old.percent, new.percent),
        phase=new.phase if new.percent >= old.percent else old.phase,
        bytes_parsed=max(old.bytes_parsed, new.bytes_parsed),
        total_bytes=max(old.total_bytes, new.total_bytes),
        rows_parsed=max(old.rows_parsed, new.rows_parsed),
        rows_loaded=max(old.rows_loaded, new.rows_loaded),
        rows_rejected=max(old.rows_rejected, new.rows_rejected),
        result_counts=_most(old.result_counts, new.result_counts),
        queue_position=_position(old, new),
        started_at=new.started_at or old.started_at,
        preview=max(old.preview, new.preview, key=len) if new.status is RunStatus.PROCESSING else (),
    )


def clamp_to(view: RunSnapshot, cursor: Cursor | None) -> RunSnapshot:
    """Return `view` as a watcher may see it who has seen `cursor` already."""
    return _lifted(view, cursor.attempt, cursor.percent) if cursor else view


def _lifted(view: RunSnapshot, attempt: int, percent: float) -> RunSnapshot:
    if (attempt, percent) <= (view.attempt, view.percent):
        return view
    return replace(view, attempt=attempt, percent=percent)


def _position(old: RunSnapshot, new: RunSnapshot) -> int | None:
    if new.status is not RunStatus.QUEUED:
        return None
    return old.queue_position if new.queue_position is None else new.queue_position


def _most(one: SeverityCounts, other: SeverityCounts) -> SeverityCounts:
    return SeverityCounts(
        error=max(one.error, other.error),
        warning=max(one.warning, other.warning),
        optimization=max(one.optimization, other.optimization),
        info=max(one.info, other.info),
    )
