"""Queued runs, and their claim in order. PostgreSQL knows what is queued; `scheduling/order.py` decides the order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from facnet_grpc.model.run import Claim, Priority
from facnet_grpc.scheduling.forecast import Done, Running
from facnet_grpc.scheduling.order import Capacity, Lane, Queue, ScheduledRun, SchedulingPolicy, WaitingRun
from facnet_grpc.storage.postgres import leases, locks
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_objects, fetch_one, fetch_value, fetch_values
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("queue")

# How long a claim waits for another one in progress. A claim takes milliseconds, unless its process is frozen.
CLAIM_WAIT_SECONDS = 0.25


def claim_next(conn: Connection, rules: SchedulingPolicy, *, lease_seconds: float, max_attempts: int) -> Claim | None:
    """Claim the next run in order; None if there is none. Commit before working on it.

    Claims are serialized by a lock, so that each sees the ones before it. While the process of one claim is frozen,
    others use a second lock, and do not see the run that the frozen one is claiming.
    """
    any(locks.lock_within(conn, locks.CLAIM + turn, CLAIM_WAIT_SECONDS) for turn in range(2))
    for lane in queue(conn, rules, max_attempts=max_attempts).order(rules):
        claim = leases.claim_from(conn, lane, lease_seconds=lease_seconds, max_attempts=max_attempts)
        if claim is not None:
            return claim
    return None


def queue(conn: Connection, rules: SchedulingPolicy, *, max_attempts: int) -> Queue:
    """Return the state of the queue."""
    params = {"max_attempts": max_attempts, "small_file_seconds": rules.small_file_seconds}
    lanes = [
        Lane(**row | {"priority": Priority(row["priority"])}) for row in fetch_all(conn, SQL["select_lanes"], params)
    ]
    capacity = fetch_one(conn, SQL["select_capacity"], params) or {}
    small_seen = capacity["small_seen"] or any(not lane.large for lane in lanes)
    return Queue(lanes, Capacity(int(capacity["slots"]), capacity["large_running"], small_seen), capacity["now"])


def runs_in_order(
    conn: Connection, rules: SchedulingPolicy, *, max_attempts: int, older_than_seconds: float = 0.0
) -> tuple[Queue, list[ScheduledRun]]:
    """Return the state of the queue, and its runs in the order in which they will start if nothing else happens.

    Only runs that have been due for `older_than_seconds`. Reads all queued runs.
    """
    state = queue(conn, rules, max_attempts=max_attempts)
    params = {"max_attempts": max_attempts, "older_than_seconds": older_than_seconds}
    waiting = [
        WaitingRun(row["id"], (row["owner"], Priority(row["priority"]), row["large"]), row["size_bytes"])
        for row in fetch_all(conn, SQL["select_due_runs"], params)
    ]
    return state, state.order_runs(waiting, rules)


def running(conn: Connection) -> list[Running]:
    """Return the runs in progress."""
    return fetch_objects(conn, Running, SQL["select_running"])


def recently_completed(conn: Connection, *, limit: int = 200) -> list[Done]:
    """Return runs that were completed in the last hour, latest first."""
    return fetch_objects(conn, Done, SQL["select_recently_completed"], {"limit": limit})


class QueueStats(NamedTuple):
    """The length of the queue. Runs of a lane that may not start now, such as one at its limit, are held back."""

    depth: int  # runs that could start now
    age: float  # seconds for which the oldest of them has been due
    held: int  # runs that are held back


def stats(conn: Connection, held: Sequence[Lane]) -> QueueStats:
    """Return the length of the queue, of which the lanes `held` are held back."""
    params = {"owners": [lane.owner for lane in held], "large": [lane.large for lane in held]}
    depth, age, held_back = conn.execute(SQL["select_depth"], params).fetchone() or (0, 0, 0)
    return QueueStats(int(depth), max(0.0, float(age)), int(held_back))


def count_worker_connections(conn: Connection) -> int:
    """Return how many connections worker processes hold; each process holds at least one."""
    return int(fetch_value(conn, SQL["count_worker_connections"]))


def database_time(conn: Connection) -> datetime:
    """Return the time by PostgreSQL's clock."""
    now: datetime = fetch_value(conn, SQL["select_time"])
    return now


def key_ids(conn: Connection) -> set[str]:
    """Return the ids of the key-encryption keys that wrap the stored keys of files and rows."""
    return set(fetch_values(conn, SQL["select_key_ids"]))
