"""What is done from time to time, once for all workers: when it was done last, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("periodic")


class JobOutcome(StrEnum):
    """How it went."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LastTime:
    """A row of `scheduled_work`."""

    name: str
    taken_at: datetime  # by the clock of who did it
    started_at: datetime
    finished_at: datetime | None  # None while it goes on, or if it was broken off
    outcome: JobOutcome | None
    state: Mapping[str, Any]


def last(conn: Connection, name: str) -> LastTime | None:
    """Return when something was done last, None if it never was."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SQL["get"], {"name": name}).fetchone()
    if row is None:
        return None
    return LastTime(**{**row, "outcome": JobOutcome(row["outcome"]) if row["outcome"] else None})


def begin(conn: Connection, name: str, taken_at: datetime) -> None:
    """Say that it is being done. Commit before doing it, so that nobody else does, whatever becomes of it."""
    conn.execute(SQL["begin"], {"name": name, "taken_at": taken_at})


def finish(conn: Connection, name: str, taken_at: datetime, outcome: JobOutcome) -> None:
    """Say how it went, unless somebody has begun again since."""
    conn.execute(SQL["finish"], {"name": name, "taken_at": taken_at, "outcome": outcome.value})


def remember(conn: Connection, name: str, state: Mapping[str, Any]) -> None:
    """Keep something for the next time, in the transaction of what it is about."""
    conn.execute(SQL["remember"], {"name": name, "state": Jsonb(dict(state))})
