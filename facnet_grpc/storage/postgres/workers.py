"""Which worker processes are alive: each says so every few seconds, and is taken for gone when it does not."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from psycopg import Connection

from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("workers")


def beat(
    conn: Connection,
    worker_id: UUID,
    *,
    release: str,
    threads: int,
    run_ids: Collection[UUID],
    ttl_seconds: float,
) -> None:
    """Say that a worker is there and works on `run_ids`; it is believed for `ttl_seconds`."""
    params = {
        "id": worker_id,
        "release": release,
        "threads": threads,
        "run_ids": list(run_ids),
        "ttl_seconds": ttl_seconds,
    }
    conn.execute(SQL["say"], params)


def leave(conn: Connection, worker_id: UUID) -> None:
    """Say that a worker is gone."""
    conn.execute(SQL["leave"], {"id": worker_id})


def forget(conn: Connection) -> None:
    """Remove those that have not said anything for too long."""
    conn.execute(SQL["forget"])
