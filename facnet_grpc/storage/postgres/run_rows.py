"""Rows of `validation_runs` as runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from facnet_grpc.model.run import Priority, Run, RunPhase, RunStatus, SeverityCounts, sources

# Columns whose values are used as they are, by the name that they have in both places.
_PLAIN = (
    "id", "owner", "file_name", "size_bytes", "sha256", "blob_key", "bytes_parsed", "total_rows", "processed_rows",
    "rejected_rows", "attempt", "uncounted_attempts", "created_at", "idempotency_key", "batch_id", "labels",
    "encoding_hint", "delimiter_hint", "encoding", "delimiter", "started_at", "finished_at", "next_attempt_at",
    "cancel_requested_at", "error_code", "error_params", "rule_set_version", "reference_version",
    "large", "traceparent",
)  # fmt: skip


def run_of(row: DictRow) -> Run:
    """Return the run in a row that has all columns of `run_columns`."""
    return Run(
        **{name: row[name] for name in _PLAIN},
        status=RunStatus(row["status"]),
        phase=RunPhase(row["phase"]) if row["phase"] else None,
        percent=row["progress"],
        priority=Priority(row["priority"]),
        rule_ids=tuple(row["rule_ids"]),
        result_counts=SeverityCounts(
            error=row["error_count"],
            warning=row["warning_count"],
            optimization=row["optimization_count"],
            info=row["info_count"],
        ),
    )


def one(conn: Connection, query: str, params: Mapping[str, Any]) -> DictRow | None:
    """Return the first row that a query gives."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchone()


def every(conn: Connection, query: str, params: Mapping[str, Any]) -> list[DictRow]:
    """Return all rows that a query gives."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchall()


def change(target: RunStatus) -> dict[str, Any]:
    """Return the parameters of a change to `target`: the statuses that it may come from are named in the query."""
    return {"target": target.value, "sources": [status.value for status in sources(target)]}
