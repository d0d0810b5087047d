"""Works on one run from its message to its end. Never raises: a traceback in Redis or a log could quote a claim."""

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
    """Claim the run whose turn it is, and do all there is to do: the message about `run_id` only says that runs wait.

    That is how a run of high priority, or of an owner who had less, gets ahead of messages that came before its own.
    """
    try:
        claim = _claim(resources, run_id)
        if claim is not None:
            with metrics.RUNS_ACTIVE.track_inprogress(), resources.busy.at(claim.run.id), _span(claim, run_id):
                _work(resources, claim)
            _pass_on(resources, claim.run)
    except BaseException as error:  # noqa: BLE001 - the last line of defence: dramatiq would keep the text
        log.error("job_failed", run_id=str(run_id), **exception_fields(error))  # noqa: TRY400 - no traceback, see above
    finally:
        release_memory()


def _span(claim: Claim, asked: UUID) -> AbstractContextManager[Any]:
    """The attempt belongs to the trace of whoever handed the run in, whichever message it was begun by."""
    run = claim.run
    trace = run.traceparent or (tracing.inject() if run.id == asked else None)
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
    except FacnetError as error:  # it still waits, and the reconciler will ask again
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


def _pass_on(resources: Resources, ended: Run) -> None:
    """Wake a worker if what has ended kept others back: the messages about those found nothing that could be begun."""
    settings, rules = resources.settings, SchedulingPolicy.of(resources.settings.queue)
    if not ended.large and not rules.most_active(ended.owner):
        return
    try:
        with resources.database.connection() as conn:
            state = queue.queue(conn, rules, max_attempts=settings.queue.max_attempts)
        if state.order(rules):
            resources.queue.enqueue(ValidateRun(ended.id, ended.traceparent))
    except FacnetError as error:  # the reconciler finds out
        metrics.ENQUEUE_FAILURES.inc()
        log.warning("enqueue_failed", run_id=str(ended.id), **exception_fields(error))


def _work(resources: Resources, claim: Claim) -> None:
    control = LeaseGuard(resources.stopping)
    board = ProgressTracker(claim.run.attempt, claim.run.size_bytes)
    try:
        with Reporter(resources, claim, board, control) as reporter:
            Attempt(resources, claim, board, control).work(before_commit=reporter.stop)
    except BaseException as error:  # noqa: BLE001 - every error means something for the run
        # What was broken off because it had to stop fails in some way that means nothing.
        finalize.failed(resources, claim, board.progress, control.error or error)
    else:
        metrics.RUNS.labels(RunStatus.COMPLETED).inc()
        finalize.ended(resources, claim.run, RunStatus.COMPLETED, board.finished())
