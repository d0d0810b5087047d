"""Leases: a worker's right to work on a run, from claim to end.

The lease token is the fencing token: a worker that has lost its lease gets `LeaseLost` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled
from facnet_grpc.model.run import Claim, Run, RunStatus, SeverityCounts
from facnet_grpc.model.summary import Summary
from facnet_grpc.scheduling.order import Lane
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_one
from facnet_grpc.storage.postgres.runs import get_many, run_from_row, transition
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("leases")
PROGRESS = (
    *("phase", "percent", "bytes_parsed", "rows_parsed", "rows_loaded", "rows_rejected"),
    *("error", "warning", "optimization", "info"),  # numbers of results
)


def claim(conn: Connection, run_id: UUID, *, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Claim a queued run that is due; None if another worker has it or it is not due. Commit before working on it."""
    return _claim(conn, SQL["claim_run"], lease_seconds, max_attempts, {"id": run_id})


def claim_from(conn: Connection, lane: Lane, *, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Claim the first run of a lane that no other worker is claiming, if there is one. Commit before working on it."""
    params = {"owner": lane.owner, "priority": lane.priority.value, "large": lane.large}
    return _claim(conn, SQL["claim_first_of_lane"], lease_seconds, max_attempts, params)


def extend(conn: Connection, claim: Claim, progress: Mapping[str, Any], *, lease_seconds: float) -> bool:
    """Extend the lease, store progress, and return whether the run is to be cancelled. Raises `LeaseLost`."""
    params = {**dict.fromkeys(PROGRESS), **progress, **_mine(claim), "lease_seconds": lease_seconds}
    row = fetch_one(conn, SQL["extend_lease"], params)
    if row is None:
        raise _lost(claim)
    return bool(row["cancel_requested"])


def set_dialect(conn: Connection, claim: Claim, *, encoding: str, delimiter: str) -> None:
    """Store the encoding and the delimiter of the file. Raises `LeaseLost`."""
    _fenced(conn, SQL["update_dialect"], claim, {"encoding": encoding, "delimiter": delimiter})


def complete(  # noqa: PLR0913 - everything that ends a run is stored by one statement
    conn: Connection,
    claim: Claim,
    *,
    summary: Summary,
    counts: SeverityCounts,
    total_rows: int,
    processed_rows: int,
    rejected_rows: int,
    rule_set_version: str,
    reference_version: str,
) -> None:
    """End a run as COMPLETED: the last statement of the transaction that wrote its rows and results.

    Nothing of earlier attempts has to be deleted: each was one transaction, and was rolled back. Raises `LeaseLost`, or
    `RunCancelled` if the run is to be cancelled; let either roll the transaction back.
    """
    params = asdict(counts) | {
        "summary": summary.model_dump_json(),
        "total_rows": total_rows,
        "processed_rows": processed_rows,
        "rejected_rows": rejected_rows,
        "rule_set_version": rule_set_version,
        "reference_version": reference_version,
    }
    if fetch_one(conn, SQL["complete_run"], _mine(claim) | transition(RunStatus.COMPLETED) | params) is not None:
        return
    if fetch_one(conn, SQL["select_lease"], _mine(claim)) is None:
        raise _lost(claim)
    raise RunCancelled(validation_id=str(claim.run.id))


def fail(conn: Connection, claim: Claim, error: FacnetError) -> None:
    """End a run as FAILED. Raises `LeaseLost`."""
    params = {
        "error_code": error.reason.value,
        "error_params": Jsonb(dict(error.params)),
        "error_message": str(error),
    }
    _fenced(conn, SQL["fail_run"], claim, transition(RunStatus.FAILED) | params)


def release(conn: Connection, claim: Claim, *, delay_seconds: float, count_attempt: bool) -> None:
    """Put a run back into the queue, or end it as CANCELLED if that was requested. Raises `LeaseLost`.

    An attempt that is not counted still has a number of its own: watchers compare progress within an attempt.
    """
    params = {"delay_seconds": delay_seconds, "uncounted": 0 if count_attempt else 1}
    _fenced(conn, SQL["release_run"], claim, transition(RunStatus.QUEUED) | params)


def cancel(conn: Connection, claim: Claim) -> None:
    """End a run as CANCELLED. Raises `LeaseLost`."""
    _fenced(conn, SQL["cancel_run"], claim, transition(RunStatus.CANCELLED))


def requeue_expired(conn: Connection, *, max_attempts: int, delay_seconds: float = 0.0, limit: int = 100) -> list[Run]:
    """End expired leases; returns their runs as they are now.

    They become QUEUED and due in `delay_seconds`; FAILED (WORKER_CRASHED) after `max_attempts`; or CANCELLED if that
    was requested. The fenced writes of the old worker change nothing from here on.
    """
    params = {"max_attempts": max_attempts, "delay_seconds": delay_seconds, "limit": limit}
    return get_many(conn, [row["id"] for row in fetch_all(conn, SQL["requeue_expired"], params)])


def _claim(
    conn: Connection, query: str, lease_seconds: float, max_attempts: int, which: Mapping[str, Any]
) -> Claim | None:
    params = {"lease_seconds": lease_seconds, "max_attempts": max_attempts}
    row = fetch_one(conn, query, {**transition(RunStatus.PROCESSING), **params, **which})
    return Claim(run_from_row(row), row["lease_token"]) if row else None


def _fenced(conn: Connection, query: str, claim: Claim, params: Mapping[str, Any]) -> None:
    if fetch_one(conn, query, {**_mine(claim), **params}) is None:
        raise _lost(claim)


def _mine(claim: Claim) -> dict[str, Any]:
    return {"id": claim.run.id, "lease_token": claim.lease_token}


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(validation_id=str(claim.run.id), attempt=claim.run.attempt)
