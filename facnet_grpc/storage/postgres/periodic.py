"""Executions of periodic jobs, each done by one worker for all: when the last one was, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from facnet_grpc.storage.postgres.fetch import fetch_one
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("periodic")


class JobOutcome(StrEnum):
    """How an execution ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Execution:
    """The last execution of a job: a row of `scheduled_work`."""

    name: str
    taken_at: datetime  # by the clock of the worker that did it
    started_at: datetime
    finished_at: datetime | None  # None while it is in progress, or if it was interrupted
    outcome: JobOutcome | None
    state: Mapping[str, Any]


def last_execution(conn: Connection, name: str) -> Execution | None:
    """Return the last execution of a job, None if there was none."""
    row = fetch_one(conn, SQL["select_execution"], {"name": name})
    if row is None:
        return None
    return Execution(**{**row, "outcome": JobOutcome(row["outcome"]) if row["outcome"] else None})


def start(conn: Connection, name: str, taken_at: datetime) -> None:
    """Record that a job starts. Commit before doing it, so that no other worker does it even if this one dies."""
    conn.execute(SQL["start_execution"], {"name": name, "taken_at": taken_at})


def finish(conn: Connection, name: str, taken_at: datetime, outcome: JobOutcome) -> None:
    """Store the outcome, unless another execution has started since."""
    conn.execute(SQL["finish_execution"], {"name": name, "taken_at": taken_at, "outcome": outcome.value})


def save_state(conn: Connection, name: str, state: Mapping[str, Any]) -> None:
    """Store what the job needs at its next execution, in the transaction of the change that it describes."""
    conn.execute(SQL["update_state"], {"name": name, "state": Jsonb(dict(state))})
