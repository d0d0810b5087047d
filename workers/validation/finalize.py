"""After an attempt: writes the state of the run, then publishes it, then deletes the file.

Nothing here raises. What cannot be written now is repaired later: runs by the reconciler, once their lease has expired,
and files by `workers.periodic.retention`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from psycopg import Connection

from facnet_grpc import faults, metrics, tracing
from facnet_grpc.backoff import backoff_seconds
from facnet_grpc.errors import FacnetError, LeaseLost, Reason, RunCancelled, TerminalError, TransientError
from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Claim, Run, RunStatus
from facnet_grpc.storage.postgres import leases, run_log, runs
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text
from workers.validation.resources import Resources

MAX_BACKOFF_SECONDS = 300.0
log = get_logger(__name__)


class FailureAction(Enum):
    """What to do with a run whose attempt failed."""

    ABANDON = auto()  # another worker has the run: change nothing
    CANCEL = auto()  # a caller cancelled the run
    RELEASE = auto()  # this process shuts down: queue the run again at once, and do not count the attempt
    FAIL = auto()  # another attempt would fail in the same way
    RETRY = auto()  # queue the run again with backoff, up to the maximum number of attempts


def classify(error: BaseException) -> FailureAction:
    """Return what to do after `error`. An unexpected exception counts as temporary: the attempts are limited anyway."""
    for kind, action in _ACTIONS:
        if isinstance(error, kind):
            return action
    if isinstance(error, FacnetError):
        return FailureAction.RETRY if error.reason is Reason.INTERNAL else FailureAction.FAIL
    return FailureAction.RETRY if isinstance(error, Exception) else FailureAction.RELEASE


# First match wins.
_ACTIONS: tuple[tuple[type[FacnetError], FailureAction], ...] = (
    (LeaseLost, FailureAction.ABANDON),
    (RunCancelled, FailureAction.CANCEL),
    (TransientError, FailureAction.RETRY),
    (TerminalError, FailureAction.FAIL),
)


@dataclass(frozen=True)
class _Transition:
    """The status that a run gets, how to write it, and the event in its log."""

    status: RunStatus
    write: Callable[[Connection, Claim], None]
    event: str


def end(resources: Resources, run: Run, status: RunStatus, progress: RunProgress | None = None) -> None:
    """Publish the committed end of a run, then delete its file, unless the run can be retried."""
    publish(resources, RunEvent(run.id, status, progress))
    faults.point("worker.end.published")
    if run.blob_key is not None and status is not RunStatus.FAILED:
        _delete_blob(resources, run, run.blob_key)


def publish_change(resources: Resources, run: Run) -> None:
    """Publish the state of a run that was changed for its worker: it is queued again, or has ended."""
    if run.status.is_terminal:
        end(resources, run, run.status)
    else:
        publish(resources, RunEvent(run.id, run.status))


def fail(resources: Resources, claim: Claim, progress: RunProgress, error: BaseException) -> None:
    """Finalize a run whose attempt raised `error`, whatever that is."""
    action = classify(error)
    level = logging.WARNING if action in {FailureAction.RETRY, FailureAction.ABANDON} else logging.INFO
    fields = {"outcome": action.name, "code": _reason(error), **_cure(action, error), **exception_fields(error)}
    log.log(level, "attempt_failed", run_id=str(claim.run.id), **fields)
    tracing.mark_failed(error)
    if action is FailureAction.ABANDON:
        metrics.LEASE_LOSSES.inc()
        return
    faults.point("worker.failure.settling")
    transition = _transition(resources, claim, action, error)
    if not _write(resources, claim, transition, _reason(error)):
        return
    faults.point("worker.failure.settled")
    if transition.status.is_terminal:
        end(resources, claim.run, transition.status, progress)
    else:
        _requeued(resources, claim, action, _reason(error))


def publish(resources: Resources, event: RunEvent) -> None:
    """Publish an event, if Redis is available."""
    try:
        resources.events.publish(event)
    except FacnetError as error:
        metrics.EVENT_PUBLISH_FAILURES.inc()
        log.warning("event_not_published", run_id=str(event.run_id), status=event.status, **exception_fields(error))


def _transition(resources: Resources, claim: Claim, action: FailureAction, error: BaseException) -> _Transition:
    if action is FailureAction.CANCEL:
        return _Transition(RunStatus.CANCELLED, leases.cancel, "cancelled")
    if action is FailureAction.RELEASE:
        release = partial(leases.release, delay_seconds=0.0, count_attempt=False)
        return _Transition(RunStatus.QUEUED, release, "released_at_shutdown")
    if action is FailureAction.FAIL and isinstance(error, FacnetError):
        return _Transition(RunStatus.FAILED, partial(leases.fail, error=error), "failed")
    attempts = claim.run.attempt - claim.run.uncounted_attempts
    if attempts >= resources.settings.queue.max_attempts:
        exhausted = TerminalError(Reason.ATTEMPTS_EXHAUSTED, attempts=attempts, last_reason=_reason(error))
        return _Transition(RunStatus.FAILED, partial(leases.fail, error=exhausted), "failed")
    base = resources.settings.queue.retry_base_seconds
    wait = backoff_seconds(attempts, base_seconds=base, max_seconds=MAX_BACKOFF_SECONDS)
    return _Transition(
        RunStatus.QUEUED, partial(leases.release, delay_seconds=wait, count_attempt=True), "attempt_failed"
    )


def _write(resources: Resources, claim: Claim, transition: _Transition, reason: str) -> bool:
    """Write the new state of a run and return whether that succeeded."""
    level = "error" if transition.status is RunStatus.FAILED else "info"
    try:
        with resources.database.connection() as conn:
            transition.write(conn, claim)
            run_log.add(
                conn, claim.run.id, level, "worker", transition.event, {"attempt": claim.run.attempt, "reason": reason}
            )
    except LeaseLost:
        metrics.LEASE_LOSSES.inc()
        return False
    except FacnetError as failure:
        log.warning("run_not_finalized", run_id=str(claim.run.id), **exception_fields(failure))
        return False
    metrics.RUNS.labels(transition.status).inc()
    return True


def _requeued(resources: Resources, claim: Claim, action: FailureAction, reason: str) -> None:
    publish(resources, RunEvent(claim.run.id, RunStatus.QUEUED))
    if action is FailureAction.RETRY:
        metrics.RETRIES.labels(reason).inc()  # the reconciler enqueues it once it is due
        return
    try:
        resources.queue.enqueue(ValidateRun(claim.run.id))
    except FacnetError:
        metrics.ENQUEUE_FAILURES.inc()


def _delete_blob(resources: Resources, run: Run, blob_key: str) -> None:
    try:
        resources.blobs.delete(blob_key)
        faults.point("worker.blob.deleted")
        with resources.database.connection() as conn:
            runs.clear_blob(conn, run.id)
        faults.point("worker.blob.cleared")
    except FacnetError as error:
        log.warning("blob_not_deleted", run_id=str(run.id), **exception_fields(error))


def _cure(action: FailureAction, error: BaseException) -> dict[str, str]:
    if action not in {FailureAction.FAIL, FailureAction.RETRY}:
        return {}
    known = error if isinstance(error, FacnetError) else FacnetError(Reason.INTERNAL)
    return {"cure": error_text(known, Locale.EN).cure}


def _reason(error: BaseException) -> str:
    return error.reason.value if isinstance(error, FacnetError) else Reason.INTERNAL.value
