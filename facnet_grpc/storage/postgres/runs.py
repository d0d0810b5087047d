"""Runs in PostgreSQL: the only truth about them.

Every function takes a connection, and with it the transaction, first. Those that take a `Claim` are fenced: a worker
that has lost its lease gets `LeaseLost` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from facnet_grpc.errors import (
    Conflict,
    FacnetError,
    LeaseLost,
    NotFound,
    Reason,
    RunCancelled,
    TerminalError,
    TransientError,
)
from facnet_grpc.model.run import (
    TERMINAL,
    Claim,
    NewRun,
    Priority,
    Progress,
    Run,
    RunPhase,
    RunStatus,
    SeverityCounts,
    sources,
)
from facnet_grpc.model.summary import Summary
from facnet_grpc.storage.postgres.queries import load

SQL = load("runs")
_ENDED = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; empty or None: whichever. `file_name_contains` ignores case."""

    statuses: tuple[RunStatus, ...] = ()
    batch_id: str | None = None
    file_name_contains: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


EVERY_RUN = RunFilter()


def insert(conn: Connection, new: NewRun) -> tuple[Run, bool]:
    """Store a new run and return it with True, or the run that has its idempotency key with False.

    Raises `Conflict` (IDEMPOTENCY_CONFLICT) if that run is about another content.
    """
    params = asdict(new) | {
        "labels": Jsonb(dict(new.labels)),
        "rule_ids": list(new.rule_ids),
        "priority": new.priority.value,
    }
    row = _one(conn, "insert", params)
    if row is not None:
        return _run(row), True
    known = find_by_key(conn, new.owner, new.idempotency_key or "")
    if known is None:  # deleted in between
        raise TransientError
    if known.sha256 != new.sha256:
        raise Conflict(Reason.IDEMPOTENCY_CONFLICT, validation_id=str(known.id))
    return known, False


def find_by_key(conn: Connection, owner: str, key: str) -> Run | None:
    """Return the run that `owner` submitted with the idempotency key `key`."""
    row = _one(conn, "find_by_key", {"owner": owner, "key": key})
    return _run(row) if row else None


def get(conn: Connection, run_id: UUID, owner: str | None = None) -> Run:
    """Return a run. Raises `NotFound` if there is none, or if it is not `owner`'s."""
    row = _one(conn, "get", {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return _run(row)


def get_many(conn: Connection, run_ids: Sequence[UUID]) -> list[Run]:
    """Return those of the runs that exist, in no order."""
    return [_run(row) for row in _all(conn, "get_many", {"ids": list(run_ids)})]


def summary(conn: Connection, run_id: UUID) -> Summary | None:
    """Return the figures of a run, None unless it is COMPLETED."""
    row = _one(conn, "summary", {"id": run_id})
    return Summary.model_validate_json(row["summary"]) if row and row["summary"] else None


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
    return [_run(row) for row in _all(conn, "page", params)]


def queue_position(conn: Connection, run_id: UUID) -> int | None:
    """Return how many runs wait before this one, None if it does not wait."""
    row = _one(conn, "queue_position", {"id": run_id})
    return int(row["ahead"]) if row else None


def claim(conn: Connection, run_id: UUID, *, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Take a waiting run that is due; None if somebody else has it, or nobody may. Commit before working on it."""
    params = _change(RunStatus.PROCESSING) | {
        "id": run_id,
        "lease_seconds": lease_seconds,
        "max_attempts": max_attempts,
    }
    row = _one(conn, "claim", params)
    return Claim(_run(row), row["lease_token"]) if row else None


def beat(conn: Connection, claim: Claim, progress: Progress | None, *, lease_seconds: float) -> bool:
    """Extend the lease, store progress, and return whether the run shall stop. Raises `LeaseLost`."""
    row = _one(conn, "beat", _mine(claim) | _progress(progress) | {"lease_seconds": lease_seconds})
    if row is None:
        raise _lost(claim)
    return bool(row["cancel_requested"])


def set_found(conn: Connection, claim: Claim, *, encoding: str, delimiter: str) -> None:
    """Store what the file turned out to be. Raises `LeaseLost`."""
    _fenced(conn, "set_found", claim, {"encoding": encoding, "delimiter": delimiter})


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
    """End a run well, in the transaction that its rows and results were written in, as its last statement.

    Nothing of earlier attempts has to be deleted: each wrote in one transaction that ended here or was rolled back.
    Raises `LeaseLost`, or `RunCancelled` if somebody wants the run to stop; let either roll the transaction back.
    """
    params = asdict(counts) | {
        "summary": summary.model_dump_json(),
        "total_rows": total_rows,
        "processed_rows": processed_rows,
        "rejected_rows": rejected_rows,
        "rule_set_version": rule_set_version,
        "reference_version": reference_version,
    }
    if _one(conn, "complete", _mine(claim) | _change(RunStatus.COMPLETED) | params) is not None:
        return
    if _one(conn, "holds_lease", _mine(claim)) is None:
        raise _lost(claim)
    raise RunCancelled(validation_id=str(claim.run.id))


def fail(conn: Connection, claim: Claim, error: FacnetError) -> None:
    """End a run badly. Raises `LeaseLost`."""
    params = {
        "error_code": error.reason.value,
        "error_params": Jsonb(dict(error.params)),
        "error_message": str(error),
    }
    _fenced(conn, "fail", claim, _change(RunStatus.FAILED) | params)


def release(conn: Connection, claim: Claim, *, delay_seconds: float, count_attempt: bool) -> None:
    """Put a run back into the queue, or end it CANCELLED if somebody wants it to stop. Raises `LeaseLost`.

    An attempt that is not counted still has a number of its own, so that progress never seems to step back.
    """
    params = {"delay_seconds": delay_seconds, "uncounted": 0 if count_attempt else 1}
    _fenced(conn, "release", claim, _change(RunStatus.QUEUED) | params)


def cancel(conn: Connection, claim: Claim) -> None:
    """End a run because somebody wants it to stop. Raises `LeaseLost`."""
    _fenced(conn, "cancel", claim, _change(RunStatus.CANCELLED))


def request_cancel(conn: Connection, run_id: UUID, owner: str | None) -> tuple[Run, bool]:
    """Cancel a waiting run at once, ask the worker of a running one to stop, leave an ended one as it is.

    Returns the run as it is now, and whether this very call has ended it. Raises `NotFound`.
    """
    row = _one(conn, "request_cancel", _change(RunStatus.CANCELLED) | {"id": run_id, "owner": owner})
    if row is None:
        return get(conn, run_id, owner), False
    run = _run(row)
    return run, run.status is RunStatus.CANCELLED


def retry(conn: Connection, failed: Run) -> Run:
    """Queue a failed run again, with its attempts counted anew.

    Raises `Conflict` (WRONG_STATE) if it is not FAILED (any more), `TerminalError` (BLOB_MISSING) if its file is not
    kept (any more), `NotFound` if it is gone.
    """
    params = {"id": failed.id, "owner": failed.owner, "blob_key": failed.blob_key}
    row = _one(conn, "retry", {"target": RunStatus.QUEUED.value, **params})
    if row is not None:
        return _run(row)
    run = get(conn, failed.id, failed.owner)
    raise TerminalError(Reason.BLOB_MISSING) if run.status is RunStatus.FAILED else wrong_state(run)


def lock(conn: Connection, run_id: UUID, owner: str | None) -> Run:
    """Return a run that nobody else can change until the end of the transaction. Raises `NotFound`."""
    row = _one(conn, "lock", {"id": run_id, "owner": owner})
    if row is None:
        raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))
    return _run(row)


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
    rows = _all(conn, "waiting", {"older_than_seconds": older_than_seconds, "limit": limit})
    return [row["id"] for row in rows]


def expired(conn: Connection, *, max_attempts: int, delay_seconds: float = 0.0, limit: int = 100) -> list[Run]:
    """Take runs away from workers whose lease ran out; return them as they are now.

    They become QUEUED and due in `delay_seconds`; FAILED (WORKER_CRASHED) after `max_attempts`; or CANCELLED if
    somebody wants them to stop. The fenced writes of the old worker find nothing from here on.
    """
    params = {"max_attempts": max_attempts, "delay_seconds": delay_seconds, "limit": limit}
    return get_many(conn, [row["id"] for row in _all(conn, "expired", params)])


def ended_with_blob(
    conn: Connection,
    *,
    older_than_seconds: float,
    failed_older_than_seconds: float,
    limit: int,
) -> list[tuple[UUID, str]]:
    """Return ended runs whose files nobody needs any more (a failed run needs its own longer), with their keys."""
    params = {
        "ended": _ENDED,
        "older_than_seconds": older_than_seconds,
        "failed_older_than_seconds": failed_older_than_seconds,
        "limit": limit,
    }
    return [(row["id"], row["blob_key"]) for row in _all(conn, "ended_with_blob", params)]


def forget_blob(conn: Connection, run_id: UUID, blob_key: str) -> bool:
    """Note that the file of an ended run is gone; False if the run needs it again. Delete the file, then commit."""
    return _one(conn, "forget_blob", {"id": run_id, "blob_key": blob_key, "ended": _ENDED}) is not None


def known_blobs(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that belong to a run; the others belong to nobody."""
    return {row["blob_key"] for row in _all(conn, "known_blobs", {"keys": list(keys)})}


def _one(conn: Connection, name: str, params: Mapping[str, Any]) -> DictRow | None:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[name], params).fetchone()


def _all(conn: Connection, name: str, params: Mapping[str, Any]) -> list[DictRow]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[name], params).fetchall()


def _fenced(conn: Connection, name: str, claim: Claim, params: Mapping[str, Any]) -> None:
    if _one(conn, name, {**_mine(claim), **params}) is None:
        raise _lost(claim)


def _mine(claim: Claim) -> dict[str, Any]:
    return {"id": claim.run.id, "lease_token": claim.lease_token}


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(validation_id=str(claim.run.id), attempt=claim.run.attempt)


def _change(target: RunStatus) -> dict[str, Any]:
    return {"target": target.value, "sources": [status.value for status in sources(target)]}


def _progress(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        names = ("phase", "percent", "bytes_parsed", "rows_parsed", "rows_loaded", "rows_rejected")
        return dict.fromkeys((*names, "error", "warning", "optimization", "info"))
    return {
        **asdict(progress.result_counts),
        "phase": progress.phase.value,
        "percent": progress.percent,
        "bytes_parsed": progress.bytes_parsed,
        "rows_parsed": progress.rows_parsed,
        "rows_loaded": progress.rows_loaded,
        "rows_rejected": progress.rows_rejected,
    }


# Columns whose values are used as they are, by the name that they have in both places.
_PLAIN = (
    "id", "owner", "file_name", "size_bytes", "sha256", "blob_key", "bytes_parsed", "total_rows", "processed_rows",
    "rejected_rows", "attempt", "uncounted_attempts", "created_at", "idempotency_key", "batch_id", "labels",
    "encoding_hint", "delimiter_hint", "encoding", "delimiter", "started_at", "finished_at", "next_attempt_at",
    "cancel_requested_at", "error_code", "error_params", "rule_set_version", "reference_version",
)  # fmt: skip


def _run(row: DictRow) -> Run:
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
