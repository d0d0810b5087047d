"""A batch: runs of one owner that were submitted under one name, seen together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from facnet_grpc.model.run import RunStatus, SeverityCounts

MIN_PERCENT_FOR_ETA = 5.0  # before that the past says nothing about the rest


@dataclass(frozen=True, slots=True)
class RunBatch:
    """The figures of all runs of a batch together, at one moment. Sizes in bytes, percent from 0 to 100."""

    batch_id: str
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    bytes_parsed: int
    total_bytes: int
    percent: float  # of the files' bytes; a run that is over counts whole, however it ended
    total_rows: int
    processed_rows: int
    rejected_rows: int
    result_counts: SeverityCounts
    started_at: datetime | None  # when work on the first one began

    @property
    def status(self) -> RunStatus:
        """QUEUED while none has begun, PROCESSING while one is not over; then the worst way that one has ended."""
        if self.queued + self.processing:
            over = self.completed + self.failed + self.cancelled
            return RunStatus.PROCESSING if self.processing or over else RunStatus.QUEUED
        if self.failed:
            return RunStatus.FAILED
        return RunStatus.CANCELLED if self.cancelled else RunStatus.COMPLETED

    def eta(self, now: datetime) -> timedelta | None:
        """Return the time until the end if the rest goes on like the part that is done; None if it cannot be told."""
        if self.status is not RunStatus.PROCESSING or self.started_at is None or self.percent < MIN_PERCENT_FOR_ETA:
            return None
        return max(now - self.started_at, timedelta()) * ((100 - self.percent) / self.percent)


@dataclass(frozen=True, slots=True)
class Money:
    """Money of the completed runs of a batch, in cents; a line counts at most once within its file."""

    at_risk_cents: int
    potential_gain_cents: int


@dataclass(frozen=True, slots=True)
class Place:
    """A line of one of the batch's files."""

    run_id: UUID
    file_name: str
    record_number: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line that is in several files of a batch. `doctor_*` are PHI: redact them on the way out."""

    ramq_id: str
    code: str
    service_date: date
    doctor_key: str
    doctor_name: str | None
    count: int
    places: tuple[Place, ...]  # the first ones
