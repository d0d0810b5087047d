"""Runs that wait, and their claim in turn. PostgreSQL knows who waits; `scheduling/order.py` says whose turn it is.

The queue as a whole, and who works on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import scalar_row

from facnet_grpc.model.run import Claim, Priority
from facnet_grpc.scheduling.forecast import Done, Running
from facnet_grpc.scheduling.order import Capacity, Lane, Queue, SchedulingPolicy, Turn, WaitingRun
from facnet_grpc.storage.postgres import leases, locks
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_one
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("queue")

# How long a claim waits for another one that is going on. That takes milliseconds, unless its process has frozen.
PATIENCE_SECONDS = 0.25


def claim_next(conn: Connection, rules: SchedulingPolicy, *, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Take the run whose turn it is; None if there is none. Commit before working on it.

    One claim at a time, so that each sees what the ones before it have taken. While one is frozen half-way the others
    go on without it, and know nothing of the run that it is taking.
    """
    any(locks.lock_within(conn, locks.CLAIM + turn, PATIENCE_SECONDS) for turn in range(2))
    for lane in queue(conn, rules, max_attempts=max_attempts).order(rules):
        claim = leases.claim_from(conn, lane, lease_seconds=lease_seconds, max_attempts=max_attempts)
        if claim is not None:
            return claim
    return None


def queue(conn: Connection, rules: SchedulingPolicy, *, max_attempts: int) -> Queue:
    """Return the state of the queue."""
    params = {"max_attempts": max_attempts, "small_file_seconds": rules.small_file_seconds}
    lanes = [Lane(**row | {"priority": Priority(row["priority"])}) for row in fetch_all(conn, SQL["lanes"], params)]
    fleet = fetch_one(conn, SQL["fleet"], params) or {}
    small_seen = fleet["small_seen"] or any(not lane.large for lane in lanes)
    return Queue(lanes, Capacity(int(fleet["slots"]), fleet["large_running"], small_seen), fleet["now"])


def line(
    conn: Connection, rules: SchedulingPolicy, *, max_attempts: int, older_than_seconds: float = 0.0
) -> tuple[Queue, list[Turn]]:
    """Return the state of the queue, and the runs in the order in which they will be begun if nothing else happens.

    Only those that have been due for some time. Reads all that wait.
    """
    state = queue(conn, rules, max_attempts=max_attempts)
    params = {"max_attempts": max_attempts, "older_than_seconds": older_than_seconds}
    waiting = [
        WaitingRun(row["id"], (row["owner"], Priority(row["priority"]), row["large"]), row["size_bytes"])
        for row in fetch_all(conn, SQL["waiting"], params)
    ]
    return state, state.line_up(waiting, rules)


def running(conn: Connection) -> list[Running]:
    """Return the runs in progress."""
    return [Running(**row) for row in fetch_all(conn, SQL["running"], {})]


def done_lately(conn: Connection, *, limit: int = 200) -> list[Done]:
    """Return runs that were completed in the last hour, latest first."""
    return [Done(**row) for row in fetch_all(conn, SQL["done_lately"], {"limit": limit})]


class Figures(NamedTuple):
    """How many runs could be begun now, for how many seconds the oldest of them could, and how many are held back."""

    depth: int
    age: float
    held: int


def figures(conn: Connection, held: Sequence[Lane]) -> Figures:
    """Return the length of the queue; from the lanes `held`, none may be begun now, however many workers there are."""
    params = {"owners": [lane.owner for lane in held], "large": [lane.large for lane in held]}
    depth, age, held_back = conn.execute(SQL["figures"], params).fetchone() or (0, 0, 0)
    return Figures(int(depth), max(0.0, float(age)), int(held_back))


def workers(conn: Connection) -> int:
    """Return how many connections of workers there are; each worker process holds at least one."""
    (count,) = conn.execute(SQL["workers"]).fetchone() or (0,)
    return int(count)


def clock(conn: Connection) -> datetime:
    """Return what PostgreSQL thinks the time is."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        now: datetime = cursor.execute(SQL["clock"]).fetchall()[0]
        return now


def key_ids(conn: Connection) -> set[str]:
    """Return the names of the keys that stored files are encrypted with."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return set(cursor.execute(SQL["key_ids"]).fetchall())
