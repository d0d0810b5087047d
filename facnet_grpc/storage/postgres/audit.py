"""The access log of patients in clear text, written by the transaction that reads them: no entry, no access."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection

from facnet_grpc.model.access import Caller
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("audit")


def record(conn: Connection, caller: Caller, *, action: str, run_id: UUID, row_count: int, request_id: str) -> None:
    """Append an entry: who, what, which run, how many rows; nothing of what was read."""
    params = {
        "owner": caller.owner,
        "subject": caller.subject,
        "action": action,
        "run_id": run_id,
        "row_count": row_count,
        "request_id": request_id,
    }
    conn.execute(SQL["insert_phi_access"], params)
