"""Deletes what nobody needs any more: files of broken uploads, of ended runs, and of nobody; runs kept long enough.

The file of a failed run is kept for a while, so that it can be tried again.

Chores of the timetable: one worker does them for all. What fails in between is found again in the next round, as a file
that belongs to nobody if not otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from facnet_grpc import faults, metrics
from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import Conflict
from facnet_grpc.logs import get_logger
from facnet_grpc.storage.blobs.api import BlobInfo, BlobStore
from facnet_grpc.storage.postgres import deletion, runs, uploads
from facnet_grpc.storage.postgres.database import Database

AT_ONCE = 500
PURGE_SECONDS = 5.0  # of a round
GRACE_SECONDS = 30.0  # the worker that ended a run is about to delete its file itself
ORPHAN_AGE = timedelta(hours=1)  # a file is there before the row that it belongs to
log = get_logger(__name__)


class Retention:
    """Each method is a chore and raises `FacnetError` if PostgreSQL or the disk does not answer."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        failed_blob_seconds: float,
        retention_days: int = 30,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._failed_blob_seconds = failed_blob_seconds
        self._retention_seconds = retention_days * DAY_SECONDS

    @property
    def chores(self) -> tuple[Callable[[], None], ...]:
        """Everything that is to be done from time to time."""
        return (self.forget_uploads, self.delete_ended, self.delete_orphans, self.purge)

    def forget_uploads(self) -> None:
        """Delete partial uploads past their date."""
        with self._database.connection() as conn:
            gone = [upload.id for upload in uploads.expired(conn, limit=AT_ONCE) if uploads.delete(conn, upload.id)]
        for upload_id in gone:
            self._delete_part(upload_id)
        _note("upload", len(gone))

    def delete_ended(self) -> None:
        """Delete files of ended runs whose worker did not come to it, and of failed ones that nobody tried again."""
        with self._database.connection() as conn:
            ended = runs.ended_with_blob(
                conn,
                older_than_seconds=GRACE_SECONDS,
                failed_older_than_seconds=self._failed_blob_seconds,
                limit=AT_ONCE,
            )
        _note("blob_of_ended_run", sum(self._delete_blob(run_id, blob_key) for run_id, blob_key in ended))

    def _delete_blob(self, run_id: UUID, blob_key: str) -> bool:
        """Delete a file while the run is locked: whoever wants to try it again waits, and then finds it gone."""
        with self._database.connection() as conn:
            gone = runs.forget_blob(conn, run_id, blob_key)
            if gone:
                self._blobs.delete(blob_key)
                faults.point("retention.blob_deleted")
        return gone

    def delete_orphans(self) -> None:
        """Delete files that belong to no run and parts that belong to no upload."""
        keys = _old(self._blobs.blobs())
        parts = [UUID(key) for key in _old(self._blobs.parts())]
        if not keys and not parts:
            return
        with self._database.connection() as conn:
            orphans = set(keys) - runs.known_blobs(conn, keys)
            lost_parts = set(parts) - uploads.existing(conn, parts)
        for key in orphans:
            self._blobs.delete(key)
        for upload_id in lost_parts:
            self._delete_part(upload_id)
        _note("orphaned_file", len(orphans) + len(lost_parts))

    def purge(self) -> None:
        """Take runs away that have been kept long enough: a few, and some of their rows, in each round."""
        taken = deletion.purge(self._database, older_than_seconds=self._retention_seconds, seconds=PURGE_SECONDS).runs
        if taken:
            metrics.RECONCILED.labels("purged_run").inc(taken)
            log.info("runs_purged", count=taken)

    def _delete_part(self, upload_id: UUID) -> None:
        try:
            self._blobs.delete_part(upload_id)
        except Conflict:
            log.info("upload_still_going_on", upload_id=str(upload_id))


def _old(files: Iterable[BlobInfo]) -> list[str]:
    oldest = datetime.now(UTC) - ORPHAN_AGE
    return [file.key for file in files if file.modified_at < oldest and _is_ours(file.key)][:AT_ONCE]


def _is_ours(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _note(kind: str, count: int) -> None:
    if count:
        metrics.RECONCILED.labels(kind).inc(count)
        log.info("files_deleted", kind=kind, count=count)
