"""The service from the side of those who keep it running: what waits, who works, how long it takes, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from facnet_grpc.model.run import Priority, RunPhase


class JobKind(StrEnum):
    """What a job does."""

    VALIDATION = "VALIDATION"  # checks a file
    REVALIDATION = "REVALIDATION"  # judges a completed run again


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs there are; how long the oldest of the waiting ones has been due, in seconds."""

    waiting: int = 0
    delayed: int = 0
    active: int = 0
    failed: int = 0
    oldest_wait_seconds: float | None = None

    def __add__(self, other: JobCounts) -> JobCounts:
        """Return the counts of both."""
        waits = [one for one in (self.oldest_wait_seconds, other.oldest_wait_seconds) if one is not None]
        return JobCounts(
            self.waiting + other.waiting,
            self.delayed + other.delayed,
            self.active + other.active,
            self.failed + other.failed,
            max(waits, default=None),
        )

    @property
    def unfinished(self) -> int:
        """How many are still to be done."""
        return self.waiting + self.delayed + self.active


@dataclass(frozen=True, slots=True)
class JobTimes:
    """What runs took that ended within some time; means in seconds, None if there are none."""

    completed: int
    failed: int
    mean_wait_seconds: float | None
    mean_work_seconds: float | None
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A row of `workers`: a process that was alive a moment ago."""

    id: UUID
    release: str
    threads: int
    started_at: datetime
    seen_at: datetime
    run_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that is being worked on."""

    id: UUID
    owner: str
    file_name: str
    priority: Priority
    phase: RunPhase | None
    percent: float
    attempt: int
    size_bytes: int
    rows_parsed: int
    started_at: datetime
    worker_id: UUID | None  # None while its worker has not said so


@dataclass(frozen=True, slots=True)
class QueueState:
    """All of it, at one moment."""

    at: datetime
    queues: Mapping[JobKind, JobCounts]
    priorities: Mapping[Priority, JobCounts]
    owners: tuple[tuple[str, JobCounts], ...]  # those with most to be done first
    day: JobTimes
    recent: JobTimes
    workers: tuple[WorkerProcess, ...]
    active: tuple[ActiveRun, ...]


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that ended badly and is still known."""

    kind: JobKind
    id: UUID
    run_id: UUID  # the same for a run
    owner: str
    file_name: str
    size_bytes: int
    error_code: str
    error_params: Mapping[str, Any]
    attempt: int
    created_at: datetime
    started_at: datetime | None
    failed_at: datetime
    is_kept: bool  # the file, so that it can be tried again


@dataclass(frozen=True, slots=True)
class FailedJobs:
    """Which failed jobs to list; empty or None: whichever."""

    owner: str | None = None
    codes: tuple[str, ...] = field(default=())
    failed_from: datetime | None = None
    failed_before: datetime | None = None
