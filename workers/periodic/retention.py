"""Retention: deletes expired uploads, files of ended runs, orphaned files, and runs past their retention.

The file of a failed run is kept for a while, so that the run can be retried. What fails halfway is repaired the next
time, if not otherwise then as an orphaned file.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from facnet_grpc import faults, metrics
from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import Conflict
from facnet_grpc.logs import get_logger
from facnet_grpc.storage.blobs.api import BlobInfo, BlobStore
from facnet_grpc.storage.postgres import deletion, runs, uploads
from facnet_grpc.storage.postgres.database import Database

BATCH_SIZE = 500
PURGE_SECONDS = 5.0  # each time
GRACE_SECONDS = 30.0  # in which the worker that ended a run deletes its file itself
ORPHAN_AGE = timedelta(hours=1)  # a file is stored before the row that it belongs to
log = get_logger(__name__)


class Retention:
    """The steps of a periodic job. Each raises `FacnetError` if PostgreSQL or the blob store does not answer."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        failed_blob_seconds: float,
        retention_days: int = 30,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._failed_blob_seconds = failed_blob_seconds
        self._retention_seconds = retention_days * DAY_SECONDS
        self._grace_seconds = grace_seconds
        self.steps = (self.delete_uploads, self.delete_blobs, self.delete_orphans, self.purge_runs)

    def delete_uploads(self) -> None:
        """Delete expired partial uploads."""
        with self._database.connection() as conn:
            gone = [upload.id for upload in uploads.expired(conn, limit=BATCH_SIZE) if uploads.delete(conn, upload.id)]
        for upload_id in gone:
            self._delete_part(upload_id)
        _record("upload", len(gone))

    def delete_blobs(self) -> None:
        """Delete the files of ended runs that their workers did not delete, and of failed runs that nobody retried."""
        with self._database.connection() as conn:
            ended = runs.ended_with_blob(
                conn,
                older_than_seconds=self._grace_seconds,
                failed_older_than_seconds=self._failed_blob_seconds,
                limit=BATCH_SIZE,
            )
        _record("blob_of_ended_run", sum(self._delete_blob(run_id, blob_key) for run_id, blob_key in ended))

    def _delete_blob(self, run_id: UUID, blob_key: str) -> bool:
        """Delete a file while the row of the run is locked: a concurrent retry waits, and then finds no file."""
        with self._database.connection() as conn:
            gone = runs.forget_blob(conn, run_id, blob_key)
            if gone:
                self._blobs.delete(blob_key)
                faults.point("retention.blob_deleted")
        return gone

    def delete_orphans(self) -> None:
        """Delete files without a run and parts without an upload."""
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
        _record("orphaned_file", len(orphans) + len(lost_parts))

    def purge_runs(self) -> None:
        """Delete runs past their retention: some of them, and some of their rows, each time."""
        count = deletion.purge(self._database, older_than_seconds=self._retention_seconds, seconds=PURGE_SECONDS).runs
        if count:
            metrics.RECONCILED.labels("purged_run").inc(count)
            log.info("runs_purged", count=count)

    def _delete_part(self, upload_id: UUID) -> None:
        try:
            self._blobs.delete_part(upload_id)
        except Conflict:
            log.info("upload_in_progress", upload_id=str(upload_id))


def _old(files: Iterable[BlobInfo]) -> list[str]:
    oldest = datetime.now(UTC) - ORPHAN_AGE
    return [file.key for file in files if file.modified_at < oldest and _is_ours(file.key)][:BATCH_SIZE]


def _is_ours(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _record(kind: str, count: int) -> None:
    if count:
        metrics.RECONCILED.labels(kind).inc(count)
        log.info("files_deleted", kind=kind, count=count)
