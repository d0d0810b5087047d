"""The service from the side of those who keep it running: values, and the calls that an admin may make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import grpc

from facnet_client import convert
from facnet_client.calls import Calls
from facnet_client.values import Phase, Priority, RunError, Validation
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1.operations_service_pb2_grpc import OperationsServiceStub

LARGEST_PAGE = 1000


class JobKind(StrEnum):
    """What a job does."""

    UNSPECIFIED = "unspecified"
    VALIDATION = "validation"
    REVALIDATION = "revalidation"


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs there are."""

    waiting: int
    delayed: int  # until the time of their next attempt
    active: int
    failed: int  # and still known
    oldest_wait_seconds: float | None  # None if none waits


@dataclass(frozen=True, slots=True)
class JobTimes:
    """What runs took that ended within some time; means are None if there are none."""

    completed: int
    failed: int
    mean_wait_seconds: float | None
    mean_work_seconds: float | None
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process that is alive, and the runs that it was at when it last said so."""

    worker_id: str
    release: str
    threads: int
    start_time: datetime
    seen_time: datetime
    validation_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A run that is being worked on."""

    validation_id: str
    owner: str
    file_name: str
    priority: Priority
    phase: Phase
    percent: float  # 0-100
    attempt: int
    size_bytes: int
    rows_parsed: int
    start_time: datetime
    worker_id: str  # empty while that is not known


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queue and those who work it off, at one moment."""

    time: datetime
    queues: dict[JobKind, JobCounts]
    priorities: dict[Priority, JobCounts]  # most urgent first
    owners: dict[str, JobCounts]  # those with most to be done first, at most 100
    day: JobTimes  # the last 24 hours
    recent: JobTimes
    recent_seconds: float
    workers: tuple[Worker, ...]
    active_jobs: tuple[ActiveJob, ...]  # longest first, at most 100


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that ended badly."""

    kind: JobKind
    validation_id: str
    owner: str
    file_name: str
    size_bytes: int
    error: RunError
    attempt: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime
    can_replay: bool
    expire_time: datetime | None  # of the file, if it is kept


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run as it is now, and whether this call has queued it."""

    validation: Validation
    replayed: bool


@dataclass(frozen=True, slots=True)
class Purged:
    """How many runs were removed, or would be; whether something is left to be removed."""

    purged: int
    more: bool
    older_than_days: int


class Operations:
    """`client.operations`. Every method raises `FacnetError`: `Refused` (PERMISSION_DENIED) if one is no admin."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        """Speak over a channel."""
        self._stub = OperationsServiceStub(channel)
        self._calls = calls

    def stats(self, *, recent_minutes: int = 15) -> QueueStats:
        """Return how the queue stands, and how fast it went in the last minutes."""
        request = pb2.GetQueueStatsRequest(recent_minutes=recent_minutes)
        return _stats(self._calls.unary(self._stub.GetQueueStats, request))

    def failed(
        self,
        *,
        owner: str = "",
        codes: Sequence[str] = (),
        failed_from: datetime | None = None,
        failed_before: datetime | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[FailedJob]:
        """Yield jobs that ended badly, latest first, fetching pages as they are needed."""
        request = pb2.ListFailedJobsRequest(
            page_size=page_size,
            owner=owner,
            codes=codes,
            failed_from=convert.timestamp(failed_from) if failed_from else None,
            failed_before=convert.timestamp(failed_before) if failed_before else None,
        )
        for page in self._calls.pages(self._stub.ListFailedJobs, request):
            yield from map(_failed, page.jobs)

    def replay(self, validation_id: str) -> Replayed:
        """Queue a failed run again, whoever owns it; one that waits or is being worked on stays as it is.

        Raises `NotFound`, `Conflict` if it has ended otherwise or its file is not kept any more.
        """
        request = pb2.ReplayFailedJobRequest(validation_id=validation_id)
        answer = self._calls.unary(self._stub.ReplayFailedJob, request)
        return Replayed(convert.validation(answer.validation), answer.replayed)

    def purge(self, *, older_than_days: int | None = None, dry_run: bool = False, owner: str = "") -> Purged:
        """Remove runs that ended long enough ago, as much as can be done in some seconds; again while there is more."""
        request = pb2.PurgeValidationsRequest(older_than_days=older_than_days, dry_run=dry_run, owner=owner)
        answer = self._calls.unary(self._stub.PurgeValidations, request)
        return Purged(answer.purged, answer.more, answer.older_than_days)


def _stats(message: pb2.GetQueueStatsResponse) -> QueueStats:
    return QueueStats(
        time=_time(message, "time"),
        queues={_kind(one.kind): _counts(one.counts) for one in message.queues},
        priorities={_priority(one.priority): _counts(one.counts) for one in message.priorities},
        owners={one.owner: _counts(one.counts) for one in message.owners},
        day=_times(message.day),
        recent=_times(message.recent),
        recent_seconds=message.recent_period.ToTimedelta().total_seconds(),
        workers=tuple(
            Worker(
                worker_id=one.worker_id,
                release=one.release,
                threads=one.threads,
                start_time=_time(one, "start_time"),
                seen_time=_time(one, "seen_time"),
                validation_ids=tuple(one.validation_ids),
            )
            for one in message.workers
        ),
        active_jobs=tuple(_active(one) for one in message.active_jobs),
    )


def _active(message: pb2.ActiveJob) -> ActiveJob:
    return ActiveJob(
        validation_id=message.validation_id,
        owner=message.owner,
        file_name=message.file_name,
        priority=_priority(message.priority),
        phase=convert.named(Phase, validation_pb2.ValidationPhase, message.phase, "VALIDATION_PHASE_"),
        percent=message.percent,
        attempt=message.attempt,
        size_bytes=message.size_bytes,
        rows_parsed=message.rows_parsed,
        start_time=_time(message, "start_time"),
        worker_id=message.worker_id,
    )


def _failed(message: pb2.FailedJob) -> FailedJob:
    return FailedJob(
        kind=_kind(message.kind),
        validation_id=message.validation_id,
        owner=message.owner,
        file_name=message.file_name,
        size_bytes=message.size_bytes,
        error=RunError(message.error.code, message.error.message, message.error.cure),
        attempt=message.attempt,
        create_time=_time(message, "create_time"),
        start_time=convert.moment(message, "start_time"),
        end_time=_time(message, "end_time"),
        can_replay=message.can_replay,
        expire_time=convert.moment(message, "expire_time"),
    )


def _counts(message: pb2.JobCounts) -> JobCounts:
    return JobCounts(message.waiting, message.delayed, message.active, message.failed, _seconds(message, "oldest_wait"))


def _times(message: pb2.JobTimes) -> JobTimes:
    return JobTimes(
        completed=message.completed,
        failed=message.failed,
        mean_wait_seconds=_seconds(message, "mean_wait"),
        mean_work_seconds=_seconds(message, "mean_work"),
        bytes=message.bytes,
        rows=message.rows,
    )


def _kind(number: int) -> JobKind:
    return convert.named(JobKind, pb2.JobKind, number, "JOB_KIND_")


def _priority(number: int) -> Priority:
    return convert.named(Priority, validation_pb2.Priority, number, "PRIORITY_")


def _time(message: Any, field: str) -> datetime:
    moment: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return moment


def _seconds(message: Any, field: str) -> float | None:
    if not message.HasField(field):
        return None
    seconds: float = getattr(message, field).ToTimedelta().total_seconds()
    return seconds
