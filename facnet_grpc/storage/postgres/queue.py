"""The queue as a whole, and who works on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import scalar_row

from facnet_grpc.model.turns import Lane
from facnet_grpc.storage.postgres.queries import load

SQL = load("queue")


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
