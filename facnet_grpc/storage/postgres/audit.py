"""Notes who has seen persons as they are, in the transaction that reads them: no note, nothing to see."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection

from facnet_grpc.model.access import Caller
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("audit")


def record(conn: Connection, caller: Caller, *, action: str, run_id: UUID, row_count: int, request_id: str) -> None:
    """Append a line: who, what, when, how many; nothing of what was seen."""
    params = {
        "owner": caller.owner,
        "subject": caller.subject,
        "action": action,
        "run_id": run_id,
        "row_count": row_count,
        "request_id": request_id,
    }
    conn.execute(SQL["note"], params)
