"""The accepted lines of a run, on their way into PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection

from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.storage.postgres.copy import RunCopy
from facnet_grpc.storage.postgres.queries import load

SQL = load("records")


class RecordWriter(RunCopy):
    """Writes batches of BILLING_SCHEMA into `billing_records`; only whoever holds the run's lease may make one.

    A worker that was frozen may have lost its lease and still have rows of the run in an open transaction. They will
    never be committed, but writing the same keys would wait for that: so its session is ended first.
    """

    def __init__(self, conn: Connection, run_id: UUID) -> None:
        _take_over(conn, run_id)
        super().__init__(conn, "billing_records", run_id, BILLING_SCHEMA)


def evict(conn: Connection, run_id: UUID) -> None:
    """End the session that has rows of a run in an open transaction, if there is one: they are rolled back."""
    conn.execute(SQL["evict"], {"run_id": run_id})


def _take_over(conn: Connection, run_id: UUID) -> None:
    params = {"run_id": run_id}
    locked = conn.execute(SQL["try_lock"], params).fetchone()
    if locked is not None and not locked[0]:
        evict(conn, run_id)
        conn.execute(SQL["lock"], params)
