"""Takes runs away that have been kept long enough.

In two steps: the run itself goes at once, so that nobody sees half of it; its rows, which may be millions, go piece by
piece after that, each piece in a transaction of its own that keeps nobody waiting. `erasures` remembers what is left to
be done. What stays is a line of the audit log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection
from psycopg.rows import scalar_row

from facnet_grpc.model.run import TERMINAL
from facnet_grpc.storage.postgres import erasure
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("deletion")
PURGED = "validation_purged"
AT_ONCE = 500  # runs
ROWS_AT_ONCE = 20_000  # a fraction of a second
ROUND_SECONDS = 5.0
_PIECES = ("records", "results", "rejects", "logs")
_ENDED = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class Purged:
    """How many runs were taken, and whether runs or rows of taken ones are left to be removed."""

    runs: int
    more: bool


def count_old(conn: Connection, *, older_than_seconds: float, owner: str | None = None) -> int:
    """Return how many runs, of an owner if one is given, have ended longer ago."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        params = {"older_than_seconds": older_than_seconds, "ended": _ENDED, "owner": owner}
        return int(cursor.execute(SQL["count_old"], params).fetchone() or 0)


def take(conn: Connection, *, older_than_seconds: float, limit: int, owner: str | None = None) -> list[UUID]:
    """Forget runs that have ended longer ago, the keys of their files with them, and note it; `sweep` does the rest."""
    params = {
        "older_than_seconds": older_than_seconds,
        "ended": _ENDED,
        "limit": limit,
        "action": PURGED,
        "owner": owner,
    }
    with conn.cursor(row_factory=scalar_row) as cursor:
        taken = cursor.execute(SQL["take"], params).fetchall()
    for run_id in taken:
        conn.execute(erasure.SQL["revalidations"], {"run_id": run_id})
    return taken


def sweep(conn: Connection, *, limit: int) -> int | None:
    """Remove at most `limit` rows of each kind of a run that was taken; return how many, None if nothing is left."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        run_id = cursor.execute(SQL["next"]).fetchone()
    if run_id is None:
        return None
    params = {"run_id": run_id, "limit": limit}
    removed = sum(conn.execute(SQL[name], params).rowcount for name in _PIECES)
    if not removed:
        conn.execute(SQL["done"], {"run_id": run_id})
    return removed


def some(
    database: Database,
    *,
    older_than_seconds: float,
    seconds: float,
    owner: str | None = None,
) -> Purged:
    """Take at most `AT_ONCE` runs and remove rows for about so many seconds. Raises `TransientError`."""
    give_up = time.monotonic() + seconds
    with database.connection() as conn:
        taken = len(take(conn, older_than_seconds=older_than_seconds, limit=AT_ONCE, owner=owner))
    while True:
        with database.connection() as conn:
            if sweep(conn, limit=ROWS_AT_ONCE) is None:
                return Purged(taken, more=taken == AT_ONCE)
        if time.monotonic() >= give_up:
            return Purged(taken, more=True)


def everything(database: Database, *, older_than_seconds: float, dry_run: bool = False) -> int:
    """Do both steps to their end, or only count; return how many runs it is about. Raises `TransientError`."""
    if dry_run:
        with database.connection() as conn:
            return count_old(conn, older_than_seconds=older_than_seconds)
    count, more = 0, True
    while more:
        purged = some(database, older_than_seconds=older_than_seconds, seconds=ROUND_SECONDS)
        count, more = count + purged.runs, purged.more
    return count
