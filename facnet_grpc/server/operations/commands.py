"""What those ask for who keep the service running. Everything here blocks: it runs in the pool."""

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

MOST_LISTED = 100  # owners, and runs that are being worked on
PURGE_SECONDS = 5.0  # of one call
log = get_logger(__name__)


class Operations:
    """Looks at the whole service, or at what belongs to the owner that the caller is confined to."""

    def __init__(self, database: Database, control: RunCommands) -> None:
        self._database = database
        self._control = control

    def state(self, scope: str | None, *, recent_seconds: float) -> QueueState:
        """Return how the queue stands."""
        with self._database.connection() as conn:
            return operations.state(conn, scope, recent_seconds=recent_seconds, limit=MOST_LISTED)

    def failed(
        self,
        scope: str | None,
        wanted: FailedJobs,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[FailedJob]:
        """Return jobs that ended badly, latest first."""
        with self._database.connection() as conn:
            return operations.failed(conn, scope, wanted, after=after, limit=limit)

    def replay(self, run_id: UUID, scope: str | None) -> tuple[Run, bool]:
        """Queue a failed run again; leave one that is on its way as it is. Returns it, and whether it was queued.

        Raises `NotFound`, `Conflict` (WRONG_STATE) of a run that has ended otherwise, `TerminalError` (BLOB_MISSING).
        """
        try:
            run = self._control.retry(run_id, scope)
        except Conflict:
            with self._database.connection() as conn:
                run = runs.get(conn, run_id, scope)
            if run.status in {RunStatus.QUEUED, RunStatus.PROCESSING}:
                return run, False
            raise
        log.info("job_replayed", run_id=str(run_id))
        return run, True

    def purge(self, scope: str | None, *, older_than_days: int, dry_run: bool) -> Purged:
        """Remove runs that ended so many days ago, or count them, as much as can be done in some seconds."""
        seconds = older_than_days * DAY_SECONDS
        if dry_run:
            with self._database.connection() as conn:
                return Purged(deletion.count_old(conn, older_than_seconds=seconds, owner=scope), more=False)
        purged = deletion.purge(self._database, older_than_seconds=seconds, seconds=PURGE_SECONDS, owner=scope)
        log.info("runs_purged", count=purged.runs)
        return purged
