"""Runs that wait, and their claim in turn. PostgreSQL knows who waits; `model/turns.py` says whose turn it is."""

from __future__ import annotations

from psycopg import Connection

from facnet_grpc.model.forecast import Done, Running
from facnet_grpc.model.run import Claim, Priority
from facnet_grpc.model.turns import Fleet, Lane, Queue, Turn, TurnRules, Waiting
from facnet_grpc.storage.postgres import leases, locks
from facnet_grpc.storage.postgres.queries import load
from facnet_grpc.storage.postgres.run_rows import every, one

SQL = load("turns")

# How long a claim waits for another one that is going on. That takes milliseconds, unless its process has frozen.
PATIENCE_SECONDS = 0.25


def claim_next(conn: Connection, rules: TurnRules, *, lease_seconds: float, max_attempts: int) -> Claim | None:
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


def queue(conn: Connection, rules: TurnRules, *, max_attempts: int) -> Queue:
    """Return the state of the queue."""
    params = {"max_attempts": max_attempts, "small_file_seconds": rules.small_file_seconds}
    lanes = [Lane(**row | {"priority": Priority(row["priority"])}) for row in every(conn, SQL["lanes"], params)]
    fleet = one(conn, SQL["fleet"], params) or {}
    small_seen = fleet["small_seen"] or any(not lane.large for lane in lanes)
    return Queue(lanes, Fleet(int(fleet["slots"]), fleet["large_running"], small_seen), fleet["now"])


def line(
    conn: Connection, rules: TurnRules, *, max_attempts: int, older_than_seconds: float = 0.0
) -> tuple[Queue, list[Turn]]:
    """Return the state of the queue, and the runs in the order in which they will be begun if nothing else happens.

    Only those that have been due for some time. Reads all that wait.
    """
    state = queue(conn, rules, max_attempts=max_attempts)
    params = {"max_attempts": max_attempts, "older_than_seconds": older_than_seconds}
    waiting = [
        Waiting(row["id"], (row["owner"], Priority(row["priority"]), row["large"]), row["size_bytes"])
        for row in every(conn, SQL["waiting"], params)
    ]
    return state, state.line_up(waiting, rules)


def running(conn: Connection) -> list[Running]:
    """Return the runs in progress."""
    return [Running(**row) for row in every(conn, SQL["running"], {})]


def done_lately(conn: Connection, *, limit: int = 200) -> list[Done]:
    """Return runs that were completed in the last hour, latest first."""
    return [Done(**row) for row in every(conn, SQL["done_lately"], {"limit": limit})]
