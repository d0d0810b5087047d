"""What is owed to those who want to hear that a run has ended: an outbox, filled by a trigger on `validation_runs`."""

from __future__ import annotations

from psycopg import Connection
from psycopg.rows import dict_row

from facnet_grpc.model.notification import Channel, DeliveryOutcome, Notification
from facnet_grpc.model.run import RunStatus
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("outbox")


def claim(conn: Connection, *, lease_seconds: float, limit: int) -> list[Notification]:
    """Take what is due for one attempt each; nobody else does within the lease. Commit before sending."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(SQL["claim"], {"lease_seconds": lease_seconds, "limit": limit}).fetchall()
    return [
        Notification(**row | {"channel": Channel(row["channel"]), "status": RunStatus(row["status"])}) for row in rows
    ]


def end(conn: Connection, one: Notification, outcome: DeliveryOutcome) -> None:
    """Note what became of it, unless somebody else has taken it since."""
    conn.execute(SQL["end"], {"id": one.id, "attempt": one.attempt, "outcome": outcome.value})


def postpone(conn: Connection, one: Notification, seconds: float) -> None:
    """Put it off, unless somebody else has taken it since."""
    conn.execute(SQL["postpone"], {"id": one.id, "attempt": one.attempt, "seconds": seconds})


def figures(conn: Connection) -> tuple[int, float]:
    """Return how many are owed, and for how many seconds the oldest of them has been."""
    count, age = conn.execute(SQL["figures"]).fetchone() or (0, 0)
    return int(count), max(0.0, float(age))


def forget(conn: Connection, *, older_than_seconds: float, limit: int) -> int:
    """Remove at most `limit` of those that ended longer ago; return how many."""
    return conn.execute(SQL["forget"], {"older_than_seconds": older_than_seconds, "limit": limit}).rowcount
