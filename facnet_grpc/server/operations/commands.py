"""Queue state, failed jobs, replay and purge, for operators. Everything here blocks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import Conflict
from facnet_grpc.logs import get_logger
from facnet_grpc.model.operations import FailedJob, FailedJobs, QueueState
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.server.runs.commands import RunCommands
from facnet_grpc.storage.postgres import deletion, operations, runs
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.deletion import Purged

MAX_LISTED = 100  # owners, and active runs
PURGE_SECONDS = 5.0  # per call
log = get_logger(__name__)


class Operations:
    """Operations on the runs of one owner, or of all owners if `scope` is None."""

    def __init__(self, database: Database, runs: RunCommands, *, purge_seconds: float = PURGE_SECONDS) -> None:
        self._database = database
        self._runs = runs
        self._purge_seconds = purge_seconds

    def state(self, scope: str | None, *, recent_seconds: float) -> QueueState:
        """Return the state of the queue. The figures `recent` cover the last `recent_seconds`."""
        with self._database.connection() as conn:
            return operations.state(conn, scope, recent_seconds=recent_seconds, limit=MAX_LISTED)

    def failed(
        self,
        scope: str | None,
        filters: FailedJobs,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[FailedJob]:
        """Return a page of failed jobs, latest first."""
        with self._database.connection() as conn:
            return operations.failed(conn, scope, filters, after=after, limit=limit)

    def replay(self, run_id: UUID, scope: str | None) -> tuple[Run, bool]:
        """Queue a failed run again, unless it is queued or processing. Returns it, and whether it was queued now.

        Raises `NotFound`, `Conflict` (WRONG_STATE) for completed and cancelled runs, `TerminalError` (BLOB_MISSING).
        """
        try:
            run = self._runs.retry(run_id, scope)
        except Conflict:
            with self._database.connection() as conn:
                run = runs.get(conn, run_id, scope)
            if run.status in {RunStatus.QUEUED, RunStatus.PROCESSING}:
                return run, False
            raise
        log.info("job_replayed", run_id=str(run_id))
        return run, True

    def purge(self, scope: str | None, *, older_than_days: int, dry_run: bool) -> Purged:
        """Delete runs that ended so many days ago, as many as the time of a call allows; with `dry_run` count them."""
        seconds = older_than_days * DAY_SECONDS
        if dry_run:
            with self._database.connection() as conn:
                return Purged(deletion.count_old(conn, older_than_seconds=seconds, owner=scope), more=False)
        purged = deletion.purge(self._database, older_than_seconds=seconds, seconds=self._purge_seconds, owner=scope)
        log.info("runs_purged", count=purged.runs)
        return purged
