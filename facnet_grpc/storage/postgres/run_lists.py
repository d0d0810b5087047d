"""Several runs at once: pages of them, and those whose files are no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import Connection

from facnet_grpc.model.run import TERMINAL, Run, RunStatus
from facnet_grpc.storage.postgres.queries import load
from facnet_grpc.storage.postgres.run_rows import every, one, run_of

SQL = load("run_lists")
_ENDED = sorted(status.value for status in TERMINAL)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; empty or None: whichever. `file_name_contains` ignores case."""

    statuses: tuple[RunStatus, ...] = ()
    batch_id: str | None = None
    file_name_contains: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


EVERY_RUN = RunFilter()


def get_many(conn: Connection, run_ids: Sequence[UUID]) -> list[Run]:
    """Return those of the runs that exist, in no order."""
    return [run_of(row) for row in every(conn, SQL["get_many"], {"ids": list(run_ids)})]


def page(
    conn: Connection,
    owner: str,
    filters: RunFilter = EVERY_RUN,
    *,
    before: UUID | None = None,
    limit: int,
) -> list[Run]:
    """Return at most `limit` of an owner's runs, newest first, older than the run `before`."""
    params = {
        "owner": owner,
        "before": before,
        "statuses": [status.value for status in filters.statuses] or None,
        "batch_id": filters.batch_id or None,
        "file_name": filters.file_name_contains or None,
        "created_from": filters.created_from,
        "created_before": filters.created_before,
        "limit": limit,
    }
    return [run_of(row) for row in every(conn, SQL["page"], params)]


def ended_with_blob(
    conn: Connection,
    *,
    older_than_seconds: float,
    failed_older_than_seconds: float,
    limit: int,
) -> list[tuple[UUID, str]]:
    """Return ended runs whose files nobody needs any more (a failed run needs its own longer), with their keys."""
    params = {
        "ended": _ENDED,
        "older_than_seconds": older_than_seconds,
        "failed_older_than_seconds": failed_older_than_seconds,
        "limit": limit,
    }
    return [(row["id"], row["blob_key"]) for row in every(conn, SQL["ended_with_blob"], params)]


def forget_blob(conn: Connection, run_id: UUID, blob_key: str) -> bool:
    """Note that the file of an ended run is gone; False if the run needs it again. Delete the file, then commit."""
    return one(conn, SQL["forget_blob"], {"id": run_id, "blob_key": blob_key, "ended": _ENDED}) is not None


def known_blobs(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the blob keys that belong to a run; the others belong to nobody."""
    return {row["blob_key"] for row in every(conn, SQL["known_blobs"], {"keys": list(keys)})}
