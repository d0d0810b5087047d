"""Batches of runs. Nothing is stored about a batch but its name in each of its runs."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.batch import Duplicate, Money, Place, RunBatch
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_object, fetch_one, fetch_values
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("batches")
_SEVERITIES = ("error", "warning", "optimization", "info")


def totals(conn: Connection, owner: str, batch_id: str) -> RunBatch:
    """Return the totals of an owner's batch. Raises `NotFound` (BATCH_NOT_FOUND) if it has no runs."""
    row = fetch_one(conn, SQL["select_totals"], {"owner": owner, "batch_id": batch_id})
    if row is None:
        raise NotFound(Reason.BATCH_NOT_FOUND)
    counts = SeverityCounts(**{name: row.pop(name) for name in _SEVERITIES})
    return RunBatch(batch_id=batch_id, result_counts=counts, **row)


def money(conn: Connection, owner: str, batch_id: str) -> Money:
    """Return the amounts of a batch's completed runs."""
    return fetch_object(conn, Money, SQL["select_amounts"], {"owner": owner, "batch_id": batch_id}) or Money(0, 0)


def run_ids(conn: Connection, owner: str, batch_id: str, *, limit: int) -> list[UUID]:
    """Return at most `limit` runs of a batch, oldest first."""
    return fetch_values(conn, SQL["select_run_ids"], {"owner": owner, "batch_id": batch_id, "limit": limit})


def duplicates(
    conn: Connection,
    owner: str,
    batch_id: str,
    *,
    limit: int,
    places: int,
) -> tuple[list[Duplicate], int]:
    """Return the first `limit` lines that are in several files of a batch, each with `places` places, and their number.

    Reads every line of the batch: about a second per million.
    """
    params = {"owner": owner, "batch_id": batch_id, "limit": limit, "places": places}
    rows = fetch_all(conn, SQL["select_duplicates"], params)
    return [_duplicate(row) for row in rows], rows[0]["total"] if rows else 0


def _duplicate(row: DictRow) -> Duplicate:
    return Duplicate(
        ramq_id=row["ramq_id"],
        code=row["code"],
        service_date=row["service_date"],
        doctor_key=row["doctor_key"],
        doctor_name=row["doctor_name"],
        count=row["count"],
        places=tuple(map(Place, row["run_ids"], row["file_names"], row["record_numbers"])),
    )
