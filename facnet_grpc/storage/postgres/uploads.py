"""Uploads in PostgreSQL: who sends what, and until when its bytes are kept. The bytes are in the blob store."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.upload import Upload
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("uploads")


def open_(conn: Connection, *, upload_id: UUID, owner: str, file_name: str, ttl_seconds: float) -> Upload:
    """Begin an upload, or go on with it if its owner has begun it; `run_id` is set if it is finished already.

    Raises `NotFound` (UPLOAD_NOT_FOUND) if the id is somebody else's.
    """
    params = {"id": upload_id, "owner": owner, "file_name": file_name, "ttl_seconds": ttl_seconds}
    return _one(conn, "open", params, upload_id)


def get(conn: Connection, upload_id: UUID, owner: str) -> Upload:
    """Return an upload of `owner`. Raises `NotFound` (UPLOAD_NOT_FOUND)."""
    return _one(conn, "get", {"id": upload_id, "owner": owner}, upload_id)


def touch(conn: Connection, upload_id: UUID, committed_bytes: int, ttl_seconds: float) -> None:
    """Note how many bytes are safely stored; they are kept for `ttl_seconds` from now."""
    params = {"id": upload_id, "committed_bytes": committed_bytes, "ttl_seconds": ttl_seconds}
    conn.execute(SQL["touch"], params)


def finished(conn: Connection, upload_id: UUID) -> UUID | None:
    """Return the run that an upload became, if any; nobody else can finish it until the end of the transaction."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(SQL["finished"], {"id": upload_id}).fetchone()
        return found


def finish(conn: Connection, upload_id: UUID, run_id: UUID) -> None:
    """Note which run an upload became. The row stays until its date, so that GetUpload can tell."""
    conn.execute(SQL["finish"], {"id": upload_id, "run_id": run_id})


def count_open(conn: Connection, owner: str) -> int:
    """Return how many uploads of `owner` are going on."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(SQL["count_open"], {"owner": owner}).fetchone() or 0)


def has_unfinished_runs(conn: Connection, owner: str, most: int) -> bool:
    """Return whether `most` runs of `owner`, or more, wait or are being worked on."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(SQL["has_unfinished_runs"], {"owner": owner, "before_last": most - 1}).fetchone())


def expired(conn: Connection, *, limit: int = 100) -> list[Upload]:
    """Return uploads that are past their date, longest ago first."""
    with conn.cursor(row_factory=class_row(Upload)) as cursor:
        return cursor.execute(SQL["expired"], {"limit": limit}).fetchall()


def known(conn: Connection, upload_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the uploads that exist; parts of the others belong to nobody."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return set(cursor.execute(SQL["known"], {"ids": list(upload_ids)}).fetchall())


def delete(conn: Connection, upload_id: UUID) -> bool:
    """Forget an upload that is past its date; False if it is not, because somebody has gone on with it."""
    return conn.execute(SQL["delete"], {"id": upload_id}).fetchone() is not None


def _one(conn: Connection, name: str, params: dict[str, object], upload_id: UUID) -> Upload:
    with conn.cursor(row_factory=class_row(Upload)) as cursor:
        found = cursor.execute(SQL[name], params).fetchone()
    if found is None:
        raise NotFound(Reason.UPLOAD_NOT_FOUND, upload_id=str(upload_id))
    return found
