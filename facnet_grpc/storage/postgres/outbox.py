"""The transactional outbox of notifications about ended runs, filled by a trigger on `validation_runs`."""

from __future__ import annotations

from psycopg import Connection

from facnet_grpc.model.notification import Channel, DeliveryOutcome, Notification
from facnet_grpc.model.run import RunStatus
from facnet_grpc.storage.postgres.fetch import fetch_all
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("outbox")


def claim(conn: Connection, *, lease_seconds: float, limit: int) -> list[Notification]:
    """Claim at most `limit` due notifications for one attempt each, until the lease ends. Commit before sending."""
    rows = fetch_all(conn, SQL["claim_notifications"], {"lease_seconds": lease_seconds, "limit": limit})
    return [
        Notification(**row | {"channel": Channel(row["channel"]), "status": RunStatus(row["status"])}) for row in rows
    ]


def finish(conn: Connection, claimed: Notification, outcome: DeliveryOutcome) -> None:
    """Store the outcome, unless another worker has claimed the notification since."""
    params = {"id": claimed.id, "attempt": claimed.attempt, "outcome": outcome.value}
    conn.execute(SQL["finish_notification"], params)


def postpone(conn: Connection, claimed: Notification, seconds: float) -> None:
    """Make the notification due in `seconds`, unless another worker has claimed it since."""
    conn.execute(SQL["postpone_notification"], {"id": claimed.id, "attempt": claimed.attempt, "seconds": seconds})


def count_pending(conn: Connection) -> tuple[int, float]:
    """Return how many notifications are pending, and the age of the oldest one in seconds (0 if there is none)."""
    count, age = conn.execute(SQL["count_pending"]).fetchone() or (0, 0)
    return int(count), max(0.0, float(age))


def delete_finished(conn: Connection, *, older_than_seconds: float, limit: int) -> int:
    """Delete at most `limit` notifications that were finished longer ago; returns how many."""
    params = {"older_than_seconds": older_than_seconds, "limit": limit}
    return conn.execute(SQL["delete_finished"], params).rowcount
