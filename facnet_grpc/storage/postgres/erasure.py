"""Takes a run out of PostgreSQL with all that belongs to it. What stays is a line of the audit log, without PHI."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from facnet_grpc.model.run import Run
from facnet_grpc.storage.postgres import column_encryption, runs
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("erasure")
TABLES = ("records", "rejects", "results", "logs", "uploads")
DELETED = "validation_deleted"


def erase(conn: Connection, run_id: UUID, owner: str | None) -> Run:
    """Remove a run that is over, and note it; returns the run as it was. Its file is the caller's business.

    Raises `NotFound`, `Conflict` (WRONG_STATE) if it is not over.
    """
    run = runs.lock(conn, run_id, owner)
    if not run.status.is_terminal:
        raise runs.wrong_state(run)
    removed = {name: conn.execute(SQL[name], {"run_id": run_id}).rowcount for name in TABLES}
    column_encryption.forget(conn, [run_id])
    conn.execute(SQL["revalidations"], {"run_id": run_id})
    runs.delete(conn, run_id)
    detail = {"status": run.status.value, "size_bytes": run.size_bytes, "removed": removed}
    conn.execute(SQL["note"], {"owner": run.owner, "action": DELETED, "run_id": run_id, "detail": Jsonb(detail)})
    return run
