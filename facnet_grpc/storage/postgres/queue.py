"""The queue as a whole, and who works on it."""

from __future__ import annotations

from datetime import datetime

from psycopg import Connection
from psycopg.rows import scalar_row

from facnet_grpc.storage.postgres.queries import load

SQL = load("queue")


def figures(conn: Connection) -> tuple[int, float]:
    """Return how many runs are due, and for how many seconds the oldest of them has been."""
    depth, age = conn.execute(SQL["figures"]).fetchone() or (0, 0)
    return int(depth), max(0.0, float(age))


def workers(conn: Connection) -> int:
    """Return how many connections of workers there are; each worker process holds at least one."""
    (count,) = conn.execute(SQL["workers"]).fetchone() or (0,)
    return int(count)


def clock(conn: Connection) -> datetime:
    """Return what PostgreSQL thinks the time is."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        now: datetime = cursor.execute(SQL["clock"]).fetchall()[0]
        return now


def key_ids(conn: Connection) -> set[str]:
    """Return the names of the keys that stored files are encrypted with."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return set(cursor.execute(SQL["key_ids"]).fetchall())
