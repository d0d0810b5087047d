"""Uploads in PostgreSQL and the blob store, from the first byte to the run. Everything here blocks."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from uuid_utils.compat import uuid7

from facnet_grpc import faults, tracing
from facnet_grpc.errors import Conflict, FacnetError, LimitExceeded, Reason
from facnet_grpc.model.run import NewRun, Run
from facnet_grpc.model.upload import Upload, UploadHeader
from facnet_grpc.settings.process import UploadSettings
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.storage.blobs.api import BlobStore, PartWriter
from facnet_grpc.storage.postgres import runs, uploads
from facnet_grpc.storage.postgres.database import Database


class UploadRepository:
    """Stores uploads. `recipients` returns the e-mail recipients of an owner's notifications."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        settings: UploadSettings,
        queue: QueueSettings,
        recipients: Callable[[str], object],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings
        self._queue = queue
        self._recipients = recipients

    def get(self, upload_id: UUID, owner: str) -> tuple[Upload, int]:
        """Return an upload and the number of its bytes on the disk. Raises `NotFound`."""
        with self._database.connection() as conn:
            upload = uploads.get(conn, upload_id, owner)
        return upload, self._blobs.part_size(upload_id) or (upload.committed_bytes if upload.run_id else 0)

    def find_finished(self, upload_id: UUID, owner: str) -> Run | None:
        """Return the run of a finished upload."""
        with self._database.connection() as conn:
            try:
                upload = uploads.get(conn, upload_id, owner)
            except FacnetError as error:
                if error.reason is Reason.UPLOAD_NOT_FOUND:  # new, or of another owner: `begin` raises then
                    return None
                raise
            return runs.get(conn, upload.run_id, owner) if upload.run_id else None

    def find_by_key(self, key: str | None, owner: str) -> Run | None:
        """Return the run with an idempotency key."""
        if key is None:
            return None
        with self._database.connection() as conn:
            return runs.find_by_key(conn, owner, key)

    def begin(self, header: UploadHeader, owner: str, upload_id: UUID) -> Upload:
        """Create an upload, or resume it. Raises `LimitExceeded`, `NotFound` if it belongs to another owner."""
        with self._database.connection() as conn:
            ttl = self._settings.upload_ttl_seconds
            upload = uploads.open_(conn, upload_id=upload_id, owner=owner, file_name=header.file_name, ttl_seconds=ttl)
            # The count includes this upload; the error rolls it back.
            if uploads.count_open(conn, owner) > self._settings.max_open_uploads:
                raise LimitExceeded(Reason.TOO_MANY_UPLOADS, limit=self._settings.max_open_uploads)
            unfinished = self._queue.most_unfinished(owner)
            if uploads.has_unfinished_runs(conn, owner, unfinished):
                raise LimitExceeded(Reason.TOO_MANY_RUNS, limit=unfinished)
            return upload

    def touch(self, upload_id: UUID, size: int) -> None:
        """Store the size of an upload in bytes, and extend its time to live."""
        with self._database.connection() as conn:
            uploads.touch(conn, upload_id, size, self._settings.upload_ttl_seconds)

    def delete(self, upload_id: UUID) -> None:
        """Delete an upload and its part."""
        self._blobs.delete_part(upload_id)
        with self._database.connection() as conn:
            uploads.touch(conn, upload_id, 0, 0)
            uploads.delete(conn, upload_id)

    def commit(self, upload: Upload, header: UploadHeader, part: PartWriter, sha256: str) -> tuple[Run, bool]:
        """Turn a complete part into a run; return it, and whether it is new (not found by its idempotency key).

        Raises `Conflict` if the key belongs to another file.
        """
        new = self._new_run(upload, header, part.size, sha256)
        with self._database.connection() as conn:
            # Another stream had committed its part but not its run yet when this part was created.
            if (finished := uploads.lock_run_id(conn, upload.id)) is not None:
                run = runs.get(conn, finished, upload.owner)
                compare(run, sha256, part.size)
                return run, False
            run, is_new = runs.insert(conn, new)
            faults.point("server.run.inserted")
            uploads.touch(conn, upload.id, part.size, self._settings.upload_ttl_seconds)
            uploads.finish(conn, upload.id, run.id)
            faults.point("server.upload.finished")
            if is_new:
                part.seal()
                self._blobs.commit(upload.id, new.blob_key or "")
                faults.point("server.blob.committed")
        faults.point("server.run.committed")
        return run, is_new

    def _new_run(self, upload: Upload, header: UploadHeader, size: int, sha256: str) -> NewRun:
        run_id = uuid7()
        return NewRun(
            id=run_id,
            owner=upload.owner,
            file_name=header.file_name,
            size_bytes=size,
            sha256=sha256,
            blob_key=str(run_id),
            idempotency_key=header.idempotency_key,
            batch_id=header.batch_id,
            priority=header.priority,
            labels=header.labels,
            rule_ids=header.rule_ids,
            encoding_hint=header.encoding_hint,
            delimiter_hint=header.delimiter_hint,
            webhook_url=header.webhook_url,
            notify_by_mail=bool(self._recipients(upload.owner)),
            large=size >= self._queue.large_file_bytes,
            traceparent=tracing.inject(),
        )


def compare(known: Run, sha256: str | None, size: int | None) -> None:
    """Raise `Conflict` if a known run is of another file than the announced one."""
    if sha256 not in (None, known.sha256) or size not in (None, known.size_bytes):
        raise Conflict(Reason.IDEMPOTENCY_CONFLICT, validation_id=str(known.id))
