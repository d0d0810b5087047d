"""Runs: rows of `validation_runs`, one at a time and in pages. What workers do under a lease is in `leases`.

Every function takes a connection, and with it the transaction, first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from facnet_grpc.errors import Conflict, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.model.run import TERMINAL, NewRun, Priority, Run, RunPhase, RunStatus, SeverityCounts, sources
from facnet_grpc.model.summary import Summary
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_one
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("runs")
_ENDED = sorted(status.value for status in TERMINAL)
# Columns that are fields of `Run` under the same name.
_SAME_NAME = (
    "id", "owner", "file_name", "size_bytes", "sha256", "blob_key", "bytes_parsed", "total_rows", "processed_rows",
    "rejected_rows", "attempt", "uncounted_attempts", "created_at", "idempotency_key", "batch_id", "labels",
    "encoding_hint", "delimiter_hint", "encoding", "delimiter", "started_at", "finished_at", "next_attempt_at",
    "cancel_requested_at", "error_code", "error_params", "rule_set_version", "reference_version",
    "large", "traceparent",
)  # fmt: skip


def run_from_row(row: DictRow) -> Run:
    """Return the run in a row that has all columns of `run_columns`."""
    return Run(
        **{name: row[name] for name in _SAME_NAME},
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


def transition(target: RunStatus) -> dict[str, Any]:
    """Return the parameters of a change to `target`: the statuses that it may come from are named in the query."""
    return {"target": target.value, "sources": [status.value for status in sources(target)]}


def insert(conn: Connection, new: NewRun) -> tuple[Run, bool]:
    """Store a new run and return it with True, or the run that has its idempotency key with False.

    Raises `Conflict` (IDEMPOTENCY_CONFLICT) if that run is about another content.
    """
    params = asdict(new) | {
        "labels": Jsonb(dict(new.labels)),
        "rule_ids": list(new.rule_ids),
        "priority": new.priority.value,
    }
    row = fetch_one(conn, SQL["insert_run"], params)
    if row is not None:
        return run_from_row(row), True
    known = find_by_key(conn, new.owner, new.idempotency_key or "")
    if known is None:  # deleted in between
        raise TransientError
    if known.sha256 != new.sha256:
        raise Conflict(Reason.IDEMPOTENCY_CONFLICT, validation_id=str(known.id))
    return known, False


def find_by_key(conn: Connection, owner: str, key: str) -> Run | None:
    """Return the run that `owner` submitted with the idempotency key `key`."""
    row = fetch_one(conn, SQL["select_by_idempotency_key"], {"owner": owner, "key": key})
    return run_from_row(row) if row else None


def get(conn: Connection, run_id: UUID, owner: str | None = None) -> Run:
    """Return a run. Raises `NotFound` if there is none, or if it is not `owner`'s."""
    row = fetch_one(conn, SQL["select_run"], {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return run_from_row(row)


def summary(conn: Connection, run_id: UUID) -> Summary | None:
    """Return the summary of a run, None unless it is COMPLETED."""
    row = fetch_one(conn, SQL["select_summary"], {"id": run_id})
    return Summary.model_validate_json(row["summary"]) if row and row["summary"] else None


def request_cancel(conn: Connection, run_id: UUID, owner: str | None) -> tuple[Run, bool]:
    """Cancel a queued run at once, request it of the worker of a running one, and leave an ended one as it is.

    Returns the run as it is now, and whether this call has ended it. Raises `NotFound`.
    """
    row = fetch_one(conn, SQL["request_cancel"], transition(RunStatus.CANCELLED) | {"id": run_id, "owner": owner})
    if row is None:
        return get(conn, run_id, owner), False
    run = run_from_row(row)
    return run, run.status is RunStatus.CANCELLED


def retry(conn: Connection, failed: Run, traceparent: str | None = None) -> Run:
    """Queue a failed run again, with its attempts counted from 0, under the span `traceparent` if there is one.

    Raises `Conflict` (WRONG_STATE) if it is not FAILED, `TerminalError` (BLOB_MISSING) if its file is deleted,
    `NotFound` if it does not exist.
    """
    params = {"id": failed.id, "owner": failed.owner, "blob_key": failed.blob_key, "traceparent": traceparent}
    row = fetch_one(conn, SQL["requeue_failed"], {"target": RunStatus.QUEUED.value, **params})
    if row is not None:
        return run_from_row(row)
    run = get(conn, failed.id, failed.owner)
    raise TerminalError(Reason.BLOB_MISSING) if run.status is RunStatus.FAILED else wrong_state(run)


def lock(conn: Connection, run_id: UUID, owner: str | None) -> Run:
    """Return a run, locked until the end of the transaction. Raises `NotFound`."""
    row = fetch_one(conn, SQL["lock_run"], {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return run_from_row(row)


def wrong_state(run: Run) -> Conflict:
    """Return the error for a call that the state of `run` does not allow."""
    return Conflict(Reason.WRONG_STATE, validation_id=str(run.id), status=run.status.value)


def clear_blob(conn: Connection, run_id: UUID) -> None:
    """Record that a run's file is deleted, and delete its key."""
    conn.execute(SQL["clear_blob_key"], {"id": run_id})


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; an empty field does not filter. `file_name_contains` ignores case."""

    statuses: tuple[RunStatus, ...] = ()
    batch_id: str | None = None
    file_name_contains: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


EVERY_RUN = RunFilter()


def get_many(conn: Connection, run_ids: Sequence[UUID]) -> list[Run]:
    """Return those of the runs that exist, in no order."""
    return [run_from_row(row) for row in fetch_all(conn, SQL["select_runs"], {"ids": list(run_ids)})]


def page(
    conn: Connection,
    owner: str,
    filters: RunFilter = EVERY_RUN,
    *,
    before: UUID | None = None,
    limit: int,
) -> list[Run]:
    """Return at most `limit` of an owner's runs, newest first, older than the run `before`."""
    params = {
        "owner": owner,
        "before": before,
        "statuses": [status.value for status in filters.statuses] or None,
        "batch_id": filters.batch_id or None,
        "file_name": filters.file_name_contains or None,
        "created_from": filters.created_from,
        "created_before": filters.created_before,
        "limit": limit,
    }
    return [run_from_row(row) for row in fetch_all(conn, SQL["select_page"], params)]


def ended_with_blob(
    conn: Connection,
    *,
    older_than_seconds: float,
    failed_older_than_seconds: float,
    limit: int,
) -> list[tuple[UUID, str]]:
    """Return ended runs whose file is no longer needed, with their blob keys; failed runs keep it for a retry."""
    params = {
        "ended": _ENDED,
        "older_than_seconds": older_than_seconds,
        "failed_older_than_seconds": failed_older_than_seconds,
        "limit": limit,
    }
    return [(row["id"], row["blob_key"]) for row in fetch_all(conn, SQL["select_ended_with_blob"], params)]


def forget_blob(conn: Connection, run_id: UUID, blob_key: str) -> bool:
    """Record that the file of an ended run is deleted; False if the run needs it again. Delete it, then commit."""
    return (
        fetch_one(conn, SQL["clear_blob_key_of_ended"], {"id": run_id, "blob_key": blob_key, "ended": _ENDED})
        is not None
    )


def known_blobs(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that belong to a run; the others are orphans."""
    return {row["blob_key"] for row in fetch_all(conn, SQL["select_blob_keys"], {"keys": list(keys)})}
