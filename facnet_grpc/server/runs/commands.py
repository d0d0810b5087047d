"""Cancels, retries and deletes runs. Everything here blocks.

PostgreSQL decides between a worker and a caller. What follows the commit (an event, the deletion of a file) may fail:
watchers read PostgreSQL anyway, and retention deletes the files.
"""

from __future__ import annotations

from uuid import UUID

from facnet_grpc import faults, tracing
from facnet_grpc.errors import FacnetError, Reason, TerminalError
from facnet_grpc.events.stream import EventStream, RunEvent
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.storage.blobs.api import BlobStore
from facnet_grpc.storage.postgres import deletion, run_log, runs
from facnet_grpc.storage.postgres.database import Database

SWEEP_SECONDS = 2.0  # of a deletion; the retention job deletes the rows that are left
log = get_logger(__name__)


class RunCommands:
    """Changes runs of one owner, or of all owners if the owner is None."""

    def __init__(self, database: Database, blobs: BlobStore, events: EventStream) -> None:
        self._database = database
        self._blobs = blobs
        self._events = events

    def cancel(self, run_id: UUID, owner: str | None) -> Run:
        """Cancel a queued run, request the cancellation of a running one, and leave one that has ended as it is.

        Returns the run after that. Raises `NotFound`.
        """
        with self._database.connection() as conn:
            run, ended = runs.request_cancel(conn, run_id, owner)
            if ended:
                run_log.add(conn, run_id, "info", "server", "cancelled", {"attempt": run.attempt})
        if ended:
            self._publish(RunEvent(run_id, run.status))
            self._delete_blob(run)
        return run

    def retry(self, run_id: UUID, owner: str | None) -> Run:
        """Queue a failed run again; the caller enqueues its job.

        Raises `NotFound`, `Conflict` (WRONG_STATE), `TerminalError` (BLOB_MISSING).
        """
        with self._database.connection() as conn:
            run = runs.get(conn, run_id, owner)
            if run.status is not RunStatus.FAILED:
                raise runs.wrong_state(run)
            if run.blob_key is None:
                raise TerminalError(Reason.BLOB_MISSING)
            self._blobs.size(run.blob_key)
            run = runs.retry(conn, run, tracing.inject())
            run_log.add(conn, run_id, "info", "server", "queued_again", {"attempt": run.attempt})
        faults.point("server.retry.committed")
        self._publish(RunEvent(run_id, run.status))
        return run

    def delete(self, run_id: UUID, owner: str | None) -> None:
        """Delete a run that has ended: it is NOT_FOUND from then on. A large run may leave rows to the retention job.

        Raises `NotFound`, `Conflict` (WRONG_STATE).
        """
        with self._database.connection() as conn:
            run = deletion.take(conn, run_id, owner)
            faults.point("server.delete.erased")
        faults.point("server.delete.committed")
        try:
            if run.blob_key is not None:
                self._blobs.delete(run.blob_key)
            self._events.forget(run_id)
            deletion.sweep_for(self._database, SWEEP_SECONDS, run_id=run_id)
        except FacnetError as error:  # the retention job deletes rows and files later, events expire
            log.warning("traces_not_removed", run_id=str(run_id), **exception_fields(error))

    def _publish(self, event: RunEvent) -> None:
        try:
            self._events.publish(event)
        except FacnetError as error:
            log.warning("event_not_published", run_id=str(event.run_id), **exception_fields(error))

    def _delete_blob(self, run: Run) -> None:
        if run.blob_key is None:
            return
        try:
            with self._database.connection() as conn:
                if runs.forget_blob(conn, run.id, run.blob_key):
                    self._blobs.delete(run.blob_key)
        except FacnetError as error:
            log.warning("blob_not_deleted", run_id=str(run.id), **exception_fields(error))
