"""Uploads: who sends which file, and how long its part is kept. The bytes are in the blob store."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.upload import Upload
from facnet_grpc.storage.postgres.fetch import fetch_object, fetch_objects, fetch_value, fetch_values
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("uploads")


def open_(conn: Connection, *, upload_id: UUID, owner: str, file_name: str, ttl_seconds: float) -> Upload:
    """Begin an upload, or continue it if its owner has begun it; `run_id` is set if it is finished already.

    Raises `NotFound` (UPLOAD_NOT_FOUND) if the id belongs to another owner.
    """
    params = {"id": upload_id, "owner": owner, "file_name": file_name, "ttl_seconds": ttl_seconds}
    return _existing(fetch_object(conn, Upload, SQL["upsert_upload"], params), upload_id)


def get(conn: Connection, upload_id: UUID, owner: str) -> Upload:
    """Return an upload of `owner`. Raises `NotFound` (UPLOAD_NOT_FOUND)."""
    found = fetch_object(conn, Upload, SQL["select_upload"], {"id": upload_id, "owner": owner})
    return _existing(found, upload_id)


def touch(conn: Connection, upload_id: UUID, committed_bytes: int, ttl_seconds: float) -> None:
    """Store how many bytes are committed, and keep the part for `ttl_seconds` from now."""
    params = {"id": upload_id, "committed_bytes": committed_bytes, "ttl_seconds": ttl_seconds}
    conn.execute(SQL["update_committed"], params)


def lock_run_id(conn: Connection, upload_id: UUID) -> UUID | None:
    """Return the run that an upload became, if any, and keep others from finishing it in this transaction."""
    run_id: UUID | None = fetch_value(conn, SQL["lock_upload"], {"id": upload_id})
    return run_id


def finish(conn: Connection, upload_id: UUID, run_id: UUID) -> None:
    """Store which run an upload became. The row stays until its time to live is over, for GetUpload."""
    conn.execute(SQL["finish_upload"], {"id": upload_id, "run_id": run_id})


def count_open(conn: Connection, owner: str) -> int:
    """Return how many uploads of `owner` are open."""
    return int(fetch_value(conn, SQL["count_open"], {"owner": owner}))


def has_unfinished_runs(conn: Connection, owner: str, most: int) -> bool:
    """Return whether at least `most` runs of `owner` are queued or in progress."""
    return bool(fetch_value(conn, SQL["select_unfinished_run"], {"owner": owner, "before_last": most - 1}))


def expired(conn: Connection, *, limit: int = 100) -> list[Upload]:
    """Return uploads whose time to live is over, longest ago first."""
    return fetch_objects(conn, Upload, SQL["select_expired"], {"limit": limit})


def existing(conn: Connection, upload_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the uploads that exist; parts of the others are orphans."""
    return set(fetch_values(conn, SQL["select_existing"], {"ids": list(upload_ids)}))


def delete(conn: Connection, upload_id: UUID) -> bool:
    """Delete an upload whose time to live is over; False if somebody has continued it meanwhile."""
    return fetch_value(conn, SQL["delete_expired"], {"id": upload_id}) is not None


def _existing(upload: Upload | None, upload_id: UUID) -> Upload:
    if upload is None:
        raise NotFound(Reason.UPLOAD_NOT_FOUND, upload_id=str(upload_id))
    return upload
