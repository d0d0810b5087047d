"""Deletion of runs in two steps: the same for one run that a caller deletes and for those past their retention.

`take` and `take_old` delete runs with their keys, uploads and revalidations in one transaction and append to the audit
log. From then on a run is NOT_FOUND and its patients cannot be decrypted. `sweep` deletes the rows of taken runs, which
may be millions, in pieces: each in a short transaction that keeps nobody waiting. Table `erasures` holds the runs that
still have rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection

from facnet_grpc.model.run import TERMINAL, Run
from facnet_grpc.storage.postgres import runs
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.fetch import fetch_value, fetch_values
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("deletion")
DELETED = "validation_deleted"  # actions in the audit log
PURGED = "validation_purged"
MAX_RUNS = 500  # taken by one round of `purge`
PIECE_ROWS = 20_000  # per table and transaction: a fraction of a second
_ROUND_SECONDS = 5.0
_ENDED = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class Purged:
    """How many runs were taken, and whether more runs or rows are left to be deleted."""

    runs: int
    more: bool


def take(conn: Connection, run_id: UUID, owner: str | None) -> Run:
    """Delete a run that has ended; returns it as it was. Its rows are left to `sweep`, its file to the caller.

    Raises `NotFound`, also if it is not `owner`'s, and `Conflict` (WRONG_STATE) if it has not ended.
    """
    run = runs.lock(conn, run_id, owner)
    if not run.status.is_terminal:
        raise runs.wrong_state(run)
    _take(conn, [run_id], DELETED)
    return run


def take_old(conn: Connection, *, older_than_seconds: float, limit: int, owner: str | None = None) -> list[UUID]:
    """Delete at most `limit` runs, of an owner if one is given, that ended longer ago; returns their ids."""
    params = {"older_than_seconds": older_than_seconds, "ended": _ENDED, "owner": owner, "limit": limit}
    return _take(conn, fetch_values(conn, SQL["lock_old_runs"], params), PURGED)


def count_old(conn: Connection, *, older_than_seconds: float, owner: str | None = None) -> int:
    """Return how many runs, of an owner if one is given, ended longer ago."""
    params = {"older_than_seconds": older_than_seconds, "ended": _ENDED, "owner": owner}
    return int(fetch_value(conn, SQL["count_old_runs"], params))


def sweep(conn: Connection, *, limit: int, run_id: UUID | None = None) -> int | None:
    """Delete at most `limit` rows per table of a taken run: of `run_id`, or else of the one taken first.

    Returns how many rows were deleted, None if no taken run has rows left that nobody else is deleting.
    """
    taken = fetch_value(conn, SQL["lock_taken_run"], {"run_id": run_id})
    if taken is None:
        return None
    params = {"run_id": taken, "limit": limit}
    pieces = (SQL["delete_records"], SQL["delete_results"], SQL["delete_rejected"], SQL["delete_log_entries"])
    counts = [conn.execute(piece, params).rowcount for piece in pieces]
    if max(counts) < limit:
        conn.execute(SQL["delete_taken_run"], params)
    return sum(counts)


def sweep_for(database: Database, seconds: float, *, run_id: UUID | None = None, piece_rows: int = PIECE_ROWS) -> bool:
    """Sweep for about `seconds`, at least one piece; returns whether nothing is left. Raises `TransientError`."""
    deadline = time.monotonic() + seconds
    while True:
        with database.connection() as conn:
            if sweep(conn, limit=piece_rows, run_id=run_id) is None:
                return True
        if time.monotonic() >= deadline:
            return False


def purge(
    database: Database,
    *,
    older_than_seconds: float,
    seconds: float,
    owner: str | None = None,
    max_runs: int = MAX_RUNS,
) -> Purged:
    """Take at most `max_runs` runs that ended longer ago, and sweep for about `seconds`. Raises `TransientError`."""
    with database.connection() as conn:
        taken = len(take_old(conn, older_than_seconds=older_than_seconds, limit=max_runs, owner=owner))
    swept = sweep_for(database, seconds)
    return Purged(taken, more=not swept or taken == max_runs)


def purge_all(database: Database, *, older_than_seconds: float, dry_run: bool = False) -> int:
    """Delete all runs that ended longer ago, or only count them; returns how many. Raises `TransientError`."""
    if dry_run:
        with database.connection() as conn:
            return count_old(conn, older_than_seconds=older_than_seconds)
    count, more = 0, True
    while more:
        purged = purge(database, older_than_seconds=older_than_seconds, seconds=_ROUND_SECONDS)
        count, more = count + purged.runs, purged.more
    return count


def _take(conn: Connection, run_ids: Sequence[UUID], action: str) -> list[UUID]:
    return fetch_values(conn, SQL["take_runs"], {"ids": list(run_ids), "action": action})
