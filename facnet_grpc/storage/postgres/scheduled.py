"""What is done from time to time, once for all workers: whose turn it was last, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from facnet_grpc.storage.postgres.queries import load

SQL = load("scheduled")


class Outcome(StrEnum):
    """How a turn went."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Turn:
    """A row of `scheduled_work`: the last turn."""

    name: str
    turn_at: datetime  # by the clock of who took it
    started_at: datetime
    finished_at: datetime | None  # None while it goes on, or if it was broken off
    outcome: Outcome | None
    state: Mapping[str, Any]


def last(conn: Connection, name: str) -> Turn | None:
    """Return the last turn, None if there never was one."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SQL["get"], {"name": name}).fetchone()
    return _turn(row) if row else None


def last_of_all(conn: Connection) -> list[Turn]:
    """Return the last turns of everything that was ever done, by name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_turn(row) for row in cursor.execute(SQL["all"]).fetchall()]


def begin(conn: Connection, name: str, turn_at: datetime) -> None:
    """Take a turn. Commit before doing what is to be done, so that nobody else does it, whatever becomes of it."""
    conn.execute(SQL["begin"], {"name": name, "turn_at": turn_at})


def finish(conn: Connection, name: str, turn_at: datetime, outcome: Outcome) -> None:
    """Say how a turn went, unless another one has begun since."""
    conn.execute(SQL["finish"], {"name": name, "turn_at": turn_at, "outcome": outcome.value})


def remember(conn: Connection, name: str, state: Mapping[str, Any]) -> None:
    """Keep something for the next time, in the transaction of what it is about."""
    conn.execute(SQL["remember"], {"name": name, "state": Jsonb(dict(state))})


def _turn(row: DictRow) -> Turn:
    return Turn(**{**row, "outcome": Outcome(row["outcome"]) if row["outcome"] else None})
