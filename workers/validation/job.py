"""The validation job: claims a run, makes an attempt at it, and finalizes it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from facnet_grpc import faults, metrics, tracing
from facnet_grpc.errors import FacnetError
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Claim, Run, RunStatus
from facnet_grpc.scheduling.order import SchedulingPolicy
from facnet_grpc.storage.postgres import queue
from workers.process import release_memory
from workers.validation import finalize
from workers.validation.attempt import Attempt
from workers.validation.lease_guard import LeaseGuard
from workers.validation.progress import ProgressTracker, Reporter
from workers.validation.resources import Resources

log = get_logger(__name__)


def validate(resources: Resources, run_id: UUID) -> None:
    """Claim the next run in scheduling order and process it. Never raises: a traceback could quote a claim.

    The message about `run_id` only says that runs are queued: so a run of high priority, or of an owner with fewer
    active runs, gets ahead of runs whose messages came earlier.
    """
    try:
        claim = _claim(resources, run_id)
        if claim is not None:
            with (
                metrics.RUNS_ACTIVE.track_inprogress(),
                resources.active_runs.track(claim.run.id),
                _span(claim, run_id),
            ):
                _attempt(resources, claim)
            _wake_worker(resources, claim.run)
    except BaseException as error:  # noqa: BLE001 - the last line of defence: dramatiq would keep the text
        log.error("job_failed", run_id=str(run_id), **exception_fields(error))  # noqa: TRY400 - no traceback, see above
    finally:
        release_memory()


def _span(claim: Claim, message_run_id: UUID) -> AbstractContextManager[Any]:
    """Put the attempt into the trace of the caller who submitted the run, whichever message led to its claim."""
    run = claim.run
    trace = run.traceparent or (tracing.inject() if run.id == message_run_id else None)
    return tracing.joined(
        "attempt", trace, facnet__run_id=str(run.id), facnet__attempt=run.attempt, facnet__bytes=run.size_bytes
    )


def _claim(resources: Resources, run_id: UUID) -> Claim | None:
    faults.point("worker.claim.before")
    settings = resources.settings
    try:
        with resources.database.connection() as conn:
            claim = queue.claim_next(
                conn,
                SchedulingPolicy.of(settings.queue),
                lease_seconds=settings.queue.lease_seconds,
                max_attempts=settings.queue.max_attempts,
            )
            faults.point("worker.claim.taken")
    except FacnetError as error:  # the run stays queued, and the reconciler enqueues it again
        log.warning("run_not_claimed", run_id=str(run_id), **exception_fields(error))
        return None
    if claim is None:
        log.debug("nothing_to_claim", run_id=str(run_id))
        return None
    faults.point("worker.claim.after")
    run = claim.run
    metrics.QUEUE_SECONDS.observe((datetime.now(UTC) - run.created_at).total_seconds())
    log.info("run_claimed", run_id=str(run.id), attempt=run.attempt, size_bytes=run.size_bytes)
    return claim


def _wake_worker(resources: Resources, ended: Run) -> None:
    """Enqueue a message if the end of a run lets others start that were over a limit: their messages are used up."""
    settings, rules = resources.settings, SchedulingPolicy.of(resources.settings.queue)
    if not ended.large and not rules.most_active(ended.owner):
        return
    try:
        with resources.database.connection() as conn:
            state = queue.queue(conn, rules, max_attempts=settings.queue.max_attempts)
        if state.order(rules):
            resources.queue.enqueue(ValidateRun(ended.id, ended.traceparent))
    except FacnetError as error:  # the reconciler enqueues it
        metrics.ENQUEUE_FAILURES.inc()
        log.warning("enqueue_failed", run_id=str(ended.id), **exception_fields(error))


def _attempt(resources: Resources, claim: Claim) -> None:
    guard = LeaseGuard(resources.shutdown)
    tracker = ProgressTracker(claim.run.attempt, claim.run.size_bytes)
    try:
        with Reporter(resources, claim, tracker, guard) as reporter:
            Attempt(resources, claim, tracker, guard).execute(before_commit=reporter.stop)
    except BaseException as error:  # noqa: BLE001 - every error means something for the run
        # An attempt that was stopped from outside may fail with any error: the guard knows the cause.
        finalize.fail(resources, claim, tracker.progress, guard.error or error)
    else:
        metrics.RUNS.labels(RunStatus.COMPLETED).inc()
        finalize.end(resources, claim.run, RunStatus.COMPLETED, tracker.finish())
