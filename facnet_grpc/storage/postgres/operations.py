"""The whole service, for its operators. `scope` is the owner that they are confined to, or None."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.model.operations import (
    ActiveRun,
    FailedJob,
    FailedJobs,
    JobCounts,
    JobKind,
    JobTimes,
    QueueState,
    WorkerProcess,
)
from facnet_grpc.model.run import Priority, RunPhase
from facnet_grpc.storage.postgres import queue
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_objects
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("operations")


def state(conn: Connection, scope: str | None, *, recent_seconds: float, limit: int) -> QueueState:
    """Return the state of the queues, with at most `limit` owners and active runs.

    Times are of runs that ended in the last day and in the last `recent_seconds`.
    """
    counted = [(_key(row), _counts(row)) for row in fetch_all(conn, SQL["count_jobs"], {"owner": scope})]
    owners = _sums((key[1], counts) for key, counts in counted)
    busiest = sorted(owners.items(), key=lambda item: (-item[1].unfinished, -item[1].failed, item[0]))
    return QueueState(
        at=queue.database_time(conn),
        queues=_all_of(JobKind, ((key[0], counts) for key, counts in counted)),
        priorities=_all_of(Priority, ((key[2], counts) for key, counts in counted if key[0] is JobKind.VALIDATION)),
        owners=tuple(busiest[:limit]),
        day=_times(conn, scope, DAY_SECONDS),
        recent=_times(conn, scope, recent_seconds),
        workers=tuple(_worker(row) for row in fetch_all(conn, SQL["select_workers"], {"owner": scope})),
        active=tuple(
            _active(row) for row in fetch_all(conn, SQL["select_active_runs"], {"owner": scope, "limit": limit})
        ),
    )


def failed(
    conn: Connection,
    scope: str | None,
    wanted: FailedJobs,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[FailedJob]:
    """Return at most `limit` failed jobs, latest first, after the one that failed at a time and has an id."""
    after_at, after_id = after or (None, None)
    params = {
        "scope": scope,
        "owner": wanted.owner,
        "codes": list(wanted.codes) or None,
        "failed_from": wanted.failed_from,
        "failed_before": wanted.failed_before,
        "after_at": after_at,
        "after_id": after_id,
        "limit": limit,
    }
    rows = fetch_all(conn, SQL["select_failed_jobs"], params)
    return [FailedJob(**{**row, "kind": JobKind(row["kind"])}) for row in rows]


def _key(row: DictRow) -> tuple[JobKind, str, Priority]:
    return JobKind(row["kind"]), row["owner"], Priority(row["priority"])


def _counts(row: DictRow) -> JobCounts:
    oldest = row["oldest_wait_seconds"]
    return JobCounts(
        row["waiting"], row["delayed"], row["active"], row["failed"], None if oldest is None else max(0.0, oldest)
    )


def _sums(counted: Iterable[tuple[Any, JobCounts]]) -> dict[Any, JobCounts]:
    found: dict[Any, JobCounts] = {}
    for key, counts in counted:
        found[key] = found.get(key, JobCounts()) + counts
    return found


def _all_of(kinds: Iterable[Any], counted: Iterable[tuple[Any, JobCounts]]) -> dict[Any, JobCounts]:
    return {kind: JobCounts() for kind in kinds} | _sums(counted)


def _times(conn: Connection, scope: str | None, seconds: float) -> JobTimes:
    (times,) = fetch_objects(conn, JobTimes, SQL["select_times"], {"owner": scope, "seconds": seconds})
    return times


def _worker(row: DictRow) -> WorkerProcess:
    return WorkerProcess(**{**row, "run_ids": tuple(row["run_ids"])})


def _active(row: DictRow) -> ActiveRun:
    phase = RunPhase(row["phase"]) if row["phase"] else None
    return ActiveRun(**{**row, "phase": phase, "priority": Priority(row["priority"])})
