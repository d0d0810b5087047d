"""Runs in PostgreSQL: the only truth about them.

Every function takes a connection, and with it the transaction, first. This is the front for everything about runs: what
workers do under a lease is in `leases`, what reads several at once in `run_lists`.
"""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from facnet_grpc.errors import Conflict, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.model.run import NewRun, Run, RunStatus
from facnet_grpc.model.summary import Summary
from facnet_grpc.storage.postgres.leases import beat, cancel, claim, complete, expired, fail, release, set_found
from facnet_grpc.storage.postgres.queries import load
from facnet_grpc.storage.postgres.run_lists import (
    EVERY_RUN,
    RunFilter,
    ended_with_blob,
    forget_blob,
    get_many,
    known_blobs,
    page,
)
from facnet_grpc.storage.postgres.run_rows import change, every, one, run_of

__all__ = [
    "EVERY_RUN",
    "RunFilter",
    "beat",
    "cancel",
    "claim",
    "clear_blob",
    "complete",
    "delete",
    "ended_with_blob",
    "expired",
    "fail",
    "find_by_key",
    "forget_blob",
    "get",
    "get_many",
    "insert",
    "known_blobs",
    "lock",
    "page",
    "release",
    "request_cancel",
    "retry",
    "set_found",
    "summary",
    "wrong_state",
]

SQL = load("runs")


def insert(conn: Connection, new: NewRun) -> tuple[Run, bool]:
    """Store a new run and return it with True, or the run that has its idempotency key with False.

    Raises `Conflict` (IDEMPOTENCY_CONFLICT) if that run is about another content.
    """
    params = asdict(new) | {
        "labels": Jsonb(dict(new.labels)),
        "rule_ids": list(new.rule_ids),
        "priority": new.priority.value,
    }
    row = one(conn, SQL["insert"], params)
    if row is not None:
        return run_of(row), True
    known = find_by_key(conn, new.owner, new.idempotency_key or "")
    if known is None:  # deleted in between
        raise TransientError
    if known.sha256 != new.sha256:
        raise Conflict(Reason.IDEMPOTENCY_CONFLICT, validation_id=str(known.id))
    return known, False


def find_by_key(conn: Connection, owner: str, key: str) -> Run | None:
    """Return the run that `owner` submitted with the idempotency key `key`."""
    row = one(conn, SQL["find_by_key"], {"owner": owner, "key": key})
    return run_of(row) if row else None


def get(conn: Connection, run_id: UUID, owner: str | None = None) -> Run:
    """Return a run. Raises `NotFound` if there is none, or if it is not `owner`'s."""
    row = one(conn, SQL["get"], {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return run_of(row)


def summary(conn: Connection, run_id: UUID) -> Summary | None:
    """Return the figures of a run, None unless it is COMPLETED."""
    row = one(conn, SQL["summary"], {"id": run_id})
    return Summary.model_validate_json(row["summary"]) if row and row["summary"] else None


def request_cancel(conn: Connection, run_id: UUID, owner: str | None) -> tuple[Run, bool]:
    """Cancel a waiting run at once, ask the worker of a running one to stop, leave an ended one as it is.

    Returns the run as it is now, and whether this very call has ended it. Raises `NotFound`.
    """
    row = one(conn, SQL["request_cancel"], change(RunStatus.CANCELLED) | {"id": run_id, "owner": owner})
    if row is None:
        return get(conn, run_id, owner), False
    run = run_of(row)
    return run, run.status is RunStatus.CANCELLED


def retry(conn: Connection, failed: Run, traceparent: str | None = None) -> Run:
    """Queue a failed run again, with its attempts counted anew, and under the span `traceparent` if there is one.

    Raises `Conflict` (WRONG_STATE) if it is not FAILED (any more), `TerminalError` (BLOB_MISSING) if its file is not
    kept (any more), `NotFound` if it is gone.
    """
    params = {"id": failed.id, "owner": failed.owner, "blob_key": failed.blob_key, "traceparent": traceparent}
    row = one(conn, SQL["retry"], {"target": RunStatus.QUEUED.value, **params})
    if row is not None:
        return run_of(row)
    run = get(conn, failed.id, failed.owner)
    raise TerminalError(Reason.BLOB_MISSING) if run.status is RunStatus.FAILED else wrong_state(run)


def lock(conn: Connection, run_id: UUID, owner: str | None) -> Run:
    """Return a run that nobody else can change until the end of the transaction. Raises `NotFound`."""
    row = one(conn, SQL["lock"], {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return run_of(row)


def delete(conn: Connection, run_id: UUID) -> None:
    """Forget a run; what else there is of it goes before (see `erasure`)."""
    conn.execute(SQL["delete"], {"id": run_id})


def wrong_state(run: Run) -> Conflict:
    """Return the error that the state of `run` does not allow something."""
    return Conflict(Reason.WRONG_STATE, validation_id=str(run.id), status=run.status.value)


def clear_blob(conn: Connection, run_id: UUID) -> None:
    """Note that a run's file is deleted."""
    conn.execute(SQL["clear_blob"], {"id": run_id})


def waiting(conn: Connection, *, older_than_seconds: float, limit: int) -> list[UUID]:
    """Return runs that have been due for some time: the messages about them may be lost. In the order to take them."""
    rows = every(conn, SQL["waiting"], {"older_than_seconds": older_than_seconds, "limit": limit})
    return [row["id"] for row in rows]
