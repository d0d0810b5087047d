"""Works on one run from its message to its end. Never raises: a traceback in Redis or a log could quote a claim."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from facnet_grpc import faults, metrics, tracing
from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Claim, RunStatus
from facnet_grpc.storage.postgres import runs
from workers.pipeline import ending
from workers.pipeline.attempt import Attempt
from workers.pipeline.control import Control
from workers.pipeline.memory import give_back
from workers.pipeline.progress import ProgressBoard
from workers.pipeline.reporter import Reporter
from workers.pipeline.resources import Resources

CANDIDATES = 3  # several workers may look at the same time, and all but one find the first one taken
log = get_logger(__name__)


def validate(resources: Resources, run_id: UUID) -> None:
    """Claim a run and do all there is to do: the one that is first in line, else `run_id`.

    There is a message for each run that waits, so whoever takes one may take any of them. That is how a run of high
    priority gets ahead of messages that came before its own.
    """
    try:
        claim = _claim(resources, run_id)
        if claim is not None:
            with metrics.RUNS_ACTIVE.track_inprogress(), _span(claim, run_id):
                _work(resources, claim)
    except BaseException as error:  # noqa: BLE001 - the last line of defence: dramatiq would keep the text
        log.error("job_failed", run_id=str(run_id), **exception_fields(error))  # noqa: TRY400 - no traceback, see above
    finally:
        give_back()


def _span(claim: Claim, asked: UUID) -> AbstractContextManager[Any]:
    """The attempt belongs to the trace of whoever sent the message if it is about this run, else to one of its own."""
    run = claim.run
    begin = tracing.span if run.id == asked else tracing.root
    return begin("attempt", facnet__run_id=str(run.id), facnet__attempt=run.attempt, facnet__bytes=run.size_bytes)


def _claim(resources: Resources, run_id: UUID) -> Claim | None:
    faults.point("worker.claim.before")
    try:
        with resources.database.connection() as conn:
            claim = _first_in_line(conn, resources, run_id)
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


def _first_in_line(conn: Connection, resources: Resources, run_id: UUID) -> Claim | None:
    settings = resources.settings
    for candidate in (*runs.waiting(conn, older_than_seconds=0.0, limit=CANDIDATES), run_id):
        claim = runs.claim(conn, candidate, lease_seconds=settings.lease_seconds, max_attempts=settings.max_attempts)
        if claim is not None:
            return claim
    return None


def _work(resources: Resources, claim: Claim) -> None:
    control = Control(resources.stopping)
    board = ProgressBoard(claim.run.attempt, claim.run.size_bytes)
    try:
        with Reporter(resources, claim, board, control) as reporter:
            Attempt(resources, claim, board, control).work(before_commit=reporter.stop)
    except BaseException as error:  # noqa: BLE001 - every error means something for the run
        # What was broken off because it had to stop fails in some way that means nothing.
        ending.failed(resources, claim, board.progress, control.error or error)
    else:
        metrics.RUNS.labels(RunStatus.COMPLETED).inc()
        ending.ended(resources, claim.run, RunStatus.COMPLETED, board.finished())
