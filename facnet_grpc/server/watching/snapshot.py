"""What a watcher sees of a run: merged from PostgreSQL and events, and never going back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.scheduling.forecast import left
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.proto import PHASE, severity_counts
from facnet_grpc.server.runs.estimate import UNKNOWN, Estimate


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The state of a run at one moment. `progress` is shared with other snapshots: copy it before changing it."""

    run_id: UUID
    status: RunStatus
    progress: RunProgress
    queue_position: int | None = None
    ends_at: datetime | None = field(default=None, compare=False)  # estimated; a new estimate alone wakes no watcher
    started_at: datetime | None = None
    error_code: str | None = None
    error_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, bool]:
        """Attempts follow each other; within an attempt, QUEUED for the next one comes after PROCESSING."""
        return self.progress.attempt, self.status is RunStatus.QUEUED

    @property
    def cursor(self) -> Cursor:
        """Where to resume after this snapshot."""
        return Cursor(self.run_id, self.progress.attempt, self.progress.percent)

    def eta(self, now: datetime) -> timedelta | None:
        """Return the estimated time until the end, None if there is no estimate."""
        if self.status is RunStatus.QUEUED and self.ends_at is not None:
            return self.ends_at - now if self.ends_at > now else None
        if self.status is not RunStatus.PROCESSING or self.started_at is None:
            return None
        return left(max(now - self.started_at, timedelta()), self.progress.percent)


def from_run(run: Run, estimate: Estimate = UNKNOWN) -> RunSnapshot:
    """Return the snapshot of a run as PostgreSQL has it."""
    queued = run.status is RunStatus.QUEUED
    return RunSnapshot(
        run_id=run.id,
        status=run.status,
        progress=RunProgress(
            attempt=run.attempt,
            phase=PHASE[run.phase],
            percent=run.percent,
            bytes_parsed=run.bytes_parsed,
            total_bytes=run.size_bytes,
            rows_parsed=run.total_rows,
            rows_loaded=run.processed_rows,
            rows_rejected=run.rejected_rows,
            result_counts=severity_counts(run.result_counts),
        ),
        queue_position=estimate.position if queued else None,
        ends_at=estimate.ends_at if queued else None,
        started_at=run.started_at,
        error_code=run.error_code,
        error_params=run.error_params,
    )


def from_event(event: RunEvent) -> RunSnapshot | None:
    """Return the snapshot in an event, None if only PostgreSQL has it: it knows why a run ended or is queued again."""
    if event.progress is None or event.status is not RunStatus.PROCESSING:
        return None
    return RunSnapshot(event.run_id, event.status, event.progress)


def merge(old: RunSnapshot, new: RunSnapshot) -> RunSnapshot:
    """Return what is known once `new` has arrived: never older than either, in whichever order they arrive."""
    if old.status.is_terminal:
        return old
    if new.status.is_terminal:
        return _at_least(new, old.progress.attempt, old.progress.percent)
    if new.order < old.order:
        return old
    if new.progress.attempt != old.progress.attempt:
        return new
    return replace(
        new,
        progress=_merge_progress(old.progress, new),
        queue_position=_position(old, new),
        started_at=new.started_at or old.started_at,
    )


def clamp_to(snapshot: RunSnapshot, cursor: Cursor | None) -> RunSnapshot:
    """Return the snapshot with at least the progress of a cursor."""
    return _at_least(snapshot, cursor.attempt, cursor.percent) if cursor else snapshot


def _at_least(snapshot: RunSnapshot, attempt: int, percent: float) -> RunSnapshot:
    if (attempt, percent) <= (snapshot.progress.attempt, snapshot.progress.percent):
        return snapshot
    progress = _copy(snapshot.progress)
    progress.attempt, progress.percent = attempt, percent
    return replace(snapshot, progress=progress)


def _merge_progress(old: RunProgress, new: RunSnapshot) -> RunProgress:
    """Return the larger of each figure; the phase is that of the larger percentage, the preview the longer one."""
    merged = _copy(new.progress)
    if old.percent > merged.percent:
        merged.phase = old.phase
    if new.status is not RunStatus.PROCESSING:
        merged.ClearField("preview")
    elif len(old.preview) >= len(merged.preview):
        del merged.preview[:]
        merged.preview.extend(old.preview)
    _raise_figures(merged, old)
    return merged


def _raise_figures(message: Message, other: Message) -> None:
    """Raise every number in `message` to that in `other`, where that is larger: also numbers added to it later."""
    for description, value in other.ListFields():
        name = description.name
        if description.is_repeated or description.enum_type is not None:
            continue
        if description.message_type is not None:
            _raise_figures(getattr(message, name), value)
        elif value > getattr(message, name):
            setattr(message, name, value)


def _copy(progress: RunProgress) -> RunProgress:
    copy = RunProgress()
    copy.CopyFrom(progress)
    return copy


def _position(old: RunSnapshot, new: RunSnapshot) -> int | None:
    if new.status is not RunStatus.QUEUED:
        return None
    return old.queue_position if new.queue_position is None else new.queue_position
