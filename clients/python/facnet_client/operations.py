"""What operators see and do: the queue, failed jobs, removal of old runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Unpack

from facnet_client.connection import MAX_PAGE_SIZE, CallOptions, Connection
from facnet_client.convert import Value, timestamp
from facnet_client.values import Phase, Priority, RunError, Validation
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.operations_service_pb2_grpc import OperationsServiceStub


class JobKind(StrEnum):
    """What a job does."""

    UNSPECIFIED = "unspecified"
    VALIDATION = "validation"
    REVALIDATION = "revalidation"


class JobCounts(Value):
    """Number of jobs by state."""

    waiting: int
    delayed: int  # until the start of their next attempt
    active: int
    failed: int  # and not yet removed
    oldest_wait_seconds: float | None  # None if none waits


class JobTimes(Value):
    """Number, duration and size of the runs that ended within a period; means are None if there are none."""

    completed: int
    failed: int
    mean_wait_seconds: float | None
    mean_work_seconds: float | None
    bytes: int
    rows: int


class Worker(Value):
    """A live worker process, and the runs that it processed at its last heartbeat."""

    worker_id: str
    release: str
    threads: int
    start_time: datetime
    seen_time: datetime  # of its last heartbeat
    validation_ids: tuple[str, ...]


class ActiveJob(Value):
    """A run that is being processed."""

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
    worker_id: str  # empty if unknown


class QueueStats(Value):
    """The queue and the workers, at one moment."""

    sources = {"recent_seconds": "recent_period"}  # noqa: RUF012 - as in the base, which says that it is of the class

    time: datetime
    queues: Mapping[JobKind, JobCounts]
    priorities: Mapping[Priority, JobCounts]  # most urgent first
    owners: Mapping[str, JobCounts]  # at most 100, those with most jobs first
    day: JobTimes  # the last 24 hours
    recent: JobTimes
    recent_seconds: float
    workers: tuple[Worker, ...]
    active_jobs: tuple[ActiveJob, ...]  # longest first, at most 100


class FailedJob(Value):
    """A failed job."""

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
    expire_time: datetime | None  # when its file will be deleted; only if `can_replay`


class Replay(Value):
    """The run in its present state, and whether this call has queued it."""

    validation: Validation
    replayed: bool


class Purge(Value):
    """Number of runs that were removed, or would be; `more` says whether there are others."""

    purged: int
    more: bool
    older_than_days: int


class Operations:
    """`client.operations`. Every method raises `FacnetError`: `Refused` (PERMISSION_DENIED) if the caller is no admin.

    All take `CallOptions`.
    """

    def __init__(self, connection: Connection) -> None:
        """Make calls over `connection`."""
        self._stub = OperationsServiceStub(connection.channel)
        self._connection = connection

    def stats(self, *, recent_minutes: int = 15, **options: Unpack[CallOptions]) -> QueueStats:
        """Return the state of the queue, and its throughput in the last minutes and in the last 24 hours.

        Example:
            >>> stats = client.operations.stats(recent_minutes=5)
            >>> stats.queues[JobKind.VALIDATION].waiting, stats.recent_seconds
            (3, 300.0)
        """
        request = pb2.GetQueueStatsRequest(recent_minutes=recent_minutes)
        return QueueStats.from_message(self._connection.unary(self._stub.GetQueueStats, request, **options))

    def failed(
        self,
        *,
        owner: str = "",
        codes: Sequence[str] = (),
        failed_from: datetime | None = None,
        failed_before: datetime | None = None,
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[FailedJob]:
        """Yield failed jobs, latest first, fetching pages as they are needed. A moment without a zone is local time.

        Example:
            >>> for job in client.operations.failed(codes=["NOT_A_CSV"]):
            ...     print(job.owner, job.error.code, job.can_replay)
            clinic-7 NOT_A_CSV True
        """
        request = pb2.ListFailedJobsRequest(
            page_size=page_size,
            owner=owner,
            codes=codes,
            failed_from=timestamp(failed_from),
            failed_before=timestamp(failed_before),
        )
        return self._connection.items(self._stub.ListFailedJobs, request, "jobs", FailedJob, **options)

    def replay(self, validation_id: str, **options: Unpack[CallOptions]) -> Replay:
        """Queue a failed run again, whoever owns it; one that is queued or being processed stays as it is.

        Raises `NotFound`, `Conflict` if it has ended otherwise or its file is not kept any more.

        Example:
            >>> client.operations.replay(run.validation_id).replayed
            True
        """
        request = pb2.ReplayFailedJobRequest(validation_id=validation_id)
        return Replay.from_message(self._connection.unary(self._stub.ReplayFailedJob, request, **options))

    def purge(
        self,
        *,
        older_than_days: int | None = None,
        dry_run: bool = False,
        owner: str = "",
        **options: Unpack[CallOptions],
    ) -> Purge:
        """Remove runs that ended long enough ago, as many as can be removed in some seconds; call again while `more`.

        Example:
            >>> purged = client.operations.purge(older_than_days=90, dry_run=True)
            >>> purged.purged, purged.more
            (12, False)
        """
        request = pb2.PurgeValidationsRequest(older_than_days=older_than_days, dry_run=dry_run, owner=owner)
        return Purge.from_message(self._connection.unary(self._stub.PurgeValidations, request, **options))
