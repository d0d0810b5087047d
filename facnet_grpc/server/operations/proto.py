"""Operations: model ⇄ proto."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb
from facnet_grpc.model.operations import (
    ActiveRun,
    FailedJob,
    FailedJobs,
    JobCounts,
    JobTimes,
    QueueState,
    WorkerProcess,
)
from facnet_grpc.model.run import Priority
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import JOB_KIND, PHASE, PRIORITY, read_timestamp, run_error, timestamp
from facnet_grpc.texts.language import Locale

URGENT_FIRST = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


def failed_job_filters(request: pb.ListFailedJobsRequest) -> FailedJobs:
    """Read the filters of a list of failed jobs. Raises `InvalidInput`."""
    return FailedJobs(
        owner=request_fields.optional_text("owner", request.owner),
        codes=tuple(sorted(set(request_fields.texts("codes", request.codes)))),
        failed_from=read_timestamp(request, "failed_from"),
        failed_before=read_timestamp(request, "failed_before"),
    )


def state(found: QueueState, recent_seconds: float) -> pb.GetQueueStatsResponse:
    """Return the state of the queue."""
    return pb.GetQueueStatsResponse(
        time=timestamp(found.at),
        queues=[pb.QueueStats(kind=JOB_KIND[kind], counts=_counts(counts)) for kind, counts in found.queues.items()],
        priorities=[
            pb.PriorityStats(priority=PRIORITY[one], counts=_counts(found.priorities[one])) for one in URGENT_FIRST
        ],
        owners=[pb.OwnerStats(owner=owner, counts=_counts(counts)) for owner, counts in found.owners],
        day=_times(found.day),
        recent=_times(found.recent),
        recent_period=_duration(recent_seconds),
        workers=[_worker(one) for one in found.workers],
        active_jobs=[_active(one) for one in found.active],
    )


def failed_job(job: FailedJob, locale: Locale, kept_seconds: float) -> pb.FailedJob:
    """Return a failed job, whose file is kept for `kept_seconds`."""
    expires = job.failed_at + timedelta(seconds=kept_seconds) if job.is_kept else None
    return pb.FailedJob(
        kind=JOB_KIND[job.kind],
        validation_id=str(job.run_id),
        owner=job.owner,
        file_name=job.file_name,
        size_bytes=job.size_bytes,
        error=run_error(job.error_code, job.error_params, locale),
        attempt=job.attempt,
        create_time=timestamp(job.created_at),
        start_time=timestamp(job.started_at),
        end_time=timestamp(job.failed_at),
        can_replay=job.is_kept,
        expire_time=timestamp(expires),
    )


def _counts(counts: JobCounts) -> pb.JobCounts:
    return pb.JobCounts(
        waiting=counts.waiting,
        delayed=counts.delayed,
        active=counts.active,
        failed=counts.failed,
        oldest_wait=_duration(counts.oldest_wait_seconds),
    )


def _times(times: JobTimes) -> pb.JobTimes:
    return pb.JobTimes(
        completed=times.completed,
        failed=times.failed,
        mean_wait=_duration(times.mean_wait_seconds),
        mean_work=_duration(times.mean_work_seconds),
        bytes=times.bytes,
        rows=times.rows,
    )


def _worker(worker: WorkerProcess) -> pb.Worker:
    return pb.Worker(
        worker_id=str(worker.id),
        release=worker.release,
        threads=worker.threads,
        start_time=timestamp(worker.started_at),
        seen_time=timestamp(worker.seen_at),
        validation_ids=[str(run_id) for run_id in worker.run_ids],
    )


def _active(run: ActiveRun) -> pb.ActiveJob:
    return pb.ActiveJob(
        validation_id=str(run.id),
        owner=run.owner,
        file_name=run.file_name,
        priority=PRIORITY[run.priority],
        phase=PHASE[run.phase],
        percent=run.percent,
        attempt=run.attempt,
        size_bytes=run.size_bytes,
        rows_parsed=run.rows_parsed,
        start_time=timestamp(run.started_at),
        worker_id=str(run.worker_id) if run.worker_id else "",
    )


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    made = Duration()
    made.FromTimedelta(timedelta(seconds=seconds))
    return made
