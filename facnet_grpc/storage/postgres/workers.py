"""Live worker processes: each sends a heartbeat every few seconds and expires without one."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from psycopg import Connection

from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("workers")


def heartbeat(
    conn: Connection,
    worker_id: UUID,
    *,
    release: str,
    threads: int,
    run_ids: Collection[UUID],
    ttl_seconds: float,
) -> None:
    """Register a worker, or extend it, for `ttl_seconds`; it works on `run_ids`."""
    params = {
        "id": worker_id,
        "release": release,
        "threads": threads,
        "run_ids": list(run_ids),
        "ttl_seconds": ttl_seconds,
    }
    conn.execute(SQL["upsert_worker"], params)


def delete(conn: Connection, worker_id: UUID) -> None:
    """Remove a worker that stops."""
    conn.execute(SQL["delete_worker"], {"id": worker_id})


def delete_expired(conn: Connection) -> None:
    """Remove workers whose heartbeat is overdue."""
    conn.execute(SQL["delete_expired"])
