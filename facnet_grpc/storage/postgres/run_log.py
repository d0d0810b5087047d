"""The log entries of a run (`validation_logs`), for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.storage.postgres.fetch import fetch_objects
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("run_log")


def add(conn: Connection, run_id: UUID, level: str, source: str, event: str, data: Mapping[str, Any]) -> None:
    """Append an entry; `data` holds ids, counts, codes and column names, no PHI."""
    params = {"run_id": run_id, "level": level, "source": source, "event": event, "data": Jsonb(dict(data))}
    conn.execute(SQL["insert_entry"], params)


def page(
    conn: Connection,
    run_id: UUID,
    *,
    after: int = 0,
    limit: int,
    min_level: LogLevel = LogLevel.DEBUG,
    source: str | None = None,
) -> list[LogEntry]:
    """Return at most `limit` entries after the entry number `after`, oldest first, at least `min_level` severe."""
    params = {"run_id": run_id, "after": after, "limit": limit, "levels": min_level.and_above, "source": source}
    return fetch_objects(conn, LogEntry, SQL["select_entries"], params)
