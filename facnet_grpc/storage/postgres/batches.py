"""Batches in PostgreSQL: nothing is stored about them but the name in each run."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow, class_row, dict_row, scalar_row

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.batch import Duplicate, Money, Place, RunBatch
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("batches")
_COUNTS = ("error", "warning", "optimization", "info")


def figures(conn: Connection, owner: str, batch_id: str) -> RunBatch:
    """Return the figures of an owner's batch. Raises `NotFound` (BATCH_NOT_FOUND) if no run is in it."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SQL["figures"], {"owner": owner, "batch_id": batch_id}).fetchone()
    if row is None:
        raise NotFound(Reason.BATCH_NOT_FOUND)
    counts = SeverityCounts(**{name: row.pop(name) for name in _COUNTS})
    return RunBatch(batch_id=batch_id, result_counts=counts, **row)


def money(conn: Connection, owner: str, batch_id: str) -> Money:
    """Return the money of a batch's completed runs."""
    with conn.cursor(row_factory=class_row(Money)) as cursor:
        return cursor.execute(SQL["money"], {"owner": owner, "batch_id": batch_id}).fetchone() or Money(0, 0)


def run_ids(conn: Connection, owner: str, batch_id: str, *, limit: int) -> list[UUID]:
    """Return at most `limit` runs of a batch, oldest first."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(SQL["run_ids"], {"owner": owner, "batch_id": batch_id, "limit": limit}).fetchall()


def duplicates(
    conn: Connection,
    owner: str,
    batch_id: str,
    *,
    limit: int,
    places: int,
) -> tuple[list[Duplicate], int]:
    """Return lines that are in several files of a batch (the first `limit`, with `places` each), and how many are.

    Reads every line of the batch: about a second per million.
    """
    params = {"owner": owner, "batch_id": batch_id, "limit": limit, "places": places}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(SQL["duplicates"], params).fetchall()
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
