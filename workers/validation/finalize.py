"""What an error means for the run, and how long to wait before the next attempt.

What follows an attempt: the run's state, then its watchers, then its file.

Nothing here raises. What PostgreSQL cannot be told now, the reconciler finds once the lease has run out; files that
could not be deleted are found by `workers.periodic.retention`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from psycopg import Connection

from facnet_grpc import faults, metrics, tracing
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

LONGEST_WAIT_SECONDS = 300.0


class Outcome(Enum):
    """What to do with a run whose attempt did not end well."""

    ABANDON = auto()  # another worker has it: leave everything alone
    CANCEL = auto()  # a caller asked for it
    RELEASE = auto()  # this process has to go: somebody else may begin at once, nothing counted
    FAIL = auto()  # another attempt would end the same way
    RETRY = auto()  # worth another attempt, if any is left


def classify(error: BaseException) -> Outcome:
    """Return what `error` means. A bug of ours counts as passing: it stops after the last attempt, not before."""
    for kinds, outcome in _OUTCOMES:
        if isinstance(error, kinds):
            return outcome
    if isinstance(error, FacnetError):
        return Outcome.RETRY if error.reason is Reason.INTERNAL else Outcome.FAIL
    return Outcome.RETRY if isinstance(error, Exception) else Outcome.RELEASE


# First match wins.
_OUTCOMES: tuple[tuple[type[FacnetError], Outcome], ...] = (
    (LeaseLost, Outcome.ABANDON),
    (RunCancelled, Outcome.CANCEL),
    (TransientError, Outcome.RETRY),
    (TerminalError, Outcome.FAIL),
)


def wait_seconds(attempt: int, base_seconds: float) -> float:
    """Return the seconds to wait after `attempt` (from 1): doubles each time, a quarter up or down at random."""
    wait = base_seconds * 2.0 ** min(attempt - 1, 30)
    return min(LONGEST_WAIT_SECONDS, wait) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


log = get_logger(__name__)


@dataclass(frozen=True)
class _Step:
    """The status that a run gets, how to write it, and what its log says."""

    status: RunStatus
    write: Callable[[Connection, Claim], None]
    event: str


def ended(resources: Resources, run: Run, status: RunStatus, progress: RunProgress | None = None) -> None:
    """Tell the watchers of a run that its end is committed, then delete its file, unless it can be tried again."""
    publish(resources, RunEvent(run.id, status, progress))
    faults.point("worker.end.published")
    if run.blob_key is not None and status is not RunStatus.FAILED:
        _discard(resources, run, run.blob_key)


def changed(resources: Resources, run: Run) -> None:
    """Do what is due when a run has changed without its worker: it waits again, or has ended."""
    if run.status.is_terminal:
        ended(resources, run, run.status)
    else:
        publish(resources, RunEvent(run.id, run.status))


def failed(resources: Resources, claim: Claim, progress: RunProgress, error: BaseException) -> None:
    """Settle a run whose attempt raised `error`, whatever that is."""
    outcome = classify(error)
    level = logging.WARNING if outcome in {Outcome.RETRY, Outcome.ABANDON} else logging.INFO
    told = {"outcome": outcome.name, "code": _reason(error), **_cure(outcome, error), **exception_fields(error)}
    log.log(level, "attempt_failed", run_id=str(claim.run.id), **told)
    tracing.mark_failed(error)
    if outcome is Outcome.ABANDON:
        metrics.LEASE_LOSSES.inc()
        return
    faults.point("worker.failure.settling")
    step = _step(resources, claim, outcome, error)
    if not _written(resources, claim, step, _reason(error)):
        return
    faults.point("worker.failure.settled")
    if step.status.is_terminal:
        ended(resources, claim.run, step.status, progress)
    else:
        _given_back(resources, claim, outcome, _reason(error))


def publish(resources: Resources, event: RunEvent) -> None:
    """Tell watchers, if Redis is there."""
    try:
        resources.events.publish(event)
    except FacnetError as error:
        metrics.EVENT_PUBLISH_FAILURES.inc()
        log.warning("event_not_published", run_id=str(event.run_id), status=event.status, **exception_fields(error))


def _step(resources: Resources, claim: Claim, outcome: Outcome, error: BaseException) -> _Step:
    if outcome is Outcome.CANCEL:
        return _Step(RunStatus.CANCELLED, leases.cancel, "cancelled")
    if outcome is Outcome.RELEASE:
        release = partial(leases.release, delay_seconds=0.0, count_attempt=False)
        return _Step(RunStatus.QUEUED, release, "given_back_at_shutdown")
    if outcome is Outcome.FAIL and isinstance(error, FacnetError):
        return _Step(RunStatus.FAILED, partial(leases.fail, error=error), "failed")
    attempts = claim.run.attempt - claim.run.uncounted_attempts
    if attempts >= resources.settings.queue.max_attempts:
        exhausted = TerminalError(Reason.ATTEMPTS_EXHAUSTED, attempts=attempts, last_reason=_reason(error))
        return _Step(RunStatus.FAILED, partial(leases.fail, error=exhausted), "failed")
    wait = wait_seconds(attempts, resources.settings.queue.retry_base_seconds)
    return _Step(RunStatus.QUEUED, partial(leases.release, delay_seconds=wait, count_attempt=True), "attempt_failed")


def _written(resources: Resources, claim: Claim, step: _Step, reason: str) -> bool:
    level = "error" if step.status is RunStatus.FAILED else "info"
    try:
        with resources.database.connection() as conn:
            step.write(conn, claim)
            run_log.add(
                conn, claim.run.id, level, "worker", step.event, {"attempt": claim.run.attempt, "reason": reason}
            )
    except LeaseLost:
        metrics.LEASE_LOSSES.inc()
        return False
    except FacnetError as trouble:
        log.warning("run_not_settled", run_id=str(claim.run.id), **exception_fields(trouble))
        return False
    metrics.RUNS.labels(step.status).inc()
    return True


def _given_back(resources: Resources, claim: Claim, outcome: Outcome, reason: str) -> None:
    publish(resources, RunEvent(claim.run.id, RunStatus.QUEUED))
    if outcome is Outcome.RETRY:
        metrics.RETRIES.labels(reason).inc()  # the reconciler queues it once it is due
        return
    try:
        resources.queue.enqueue(ValidateRun(claim.run.id))
    except FacnetError:
        metrics.ENQUEUE_FAILURES.inc()


def _discard(resources: Resources, run: Run, blob_key: str) -> None:
    try:
        resources.blobs.delete(blob_key)
        faults.point("worker.blob.deleted")
        with resources.database.connection() as conn:
            runs.clear_blob(conn, run.id)
        faults.point("worker.blob.cleared")
    except FacnetError as error:
        log.warning("blob_not_deleted", run_id=str(run.id), **exception_fields(error))


def _cure(outcome: Outcome, error: BaseException) -> dict[str, str]:
    if outcome not in {Outcome.FAIL, Outcome.RETRY}:
        return {}
    known = error if isinstance(error, FacnetError) else FacnetError(Reason.INTERNAL)
    return {"cure": error_text(known, Locale.EN).cure}


def _reason(error: BaseException) -> str:
    return error.reason.value if isinstance(error, FacnetError) else Reason.INTERNAL.value
