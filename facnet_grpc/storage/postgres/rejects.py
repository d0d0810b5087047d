"""The rejected lines of a run."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.rows import dict_row

from facnet_grpc.model.billing import REJECTED_SCHEMA
from facnet_grpc.model.result import RejectedRow
from facnet_grpc.storage.postgres import columns
from facnet_grpc.storage.postgres.copy import RunCopy
from facnet_grpc.storage.postgres.queries import load

SQL = load("rejects")


def write(conn: Connection, run_id: UUID, batch: pa.RecordBatch) -> None:
    """Store rejected lines: a batch of REJECTED_SCHEMA. Not while a `RecordWriter` is open on the same connection."""
    if not batch.num_rows:
        return
    # A line may be rejected for being binary, and what is encrypted is padded with NUL.
    raw = pc.replace_substring(batch.column("raw"), "\0", "\ufffd")
    kept = batch.set_column(batch.schema.get_field_index("raw"), REJECTED_SCHEMA.field("raw"), raw)
    with RunCopy(conn, "rejected_rows", run_id, REJECTED_SCHEMA) as copy:
        copy.write(kept)


def page(conn: Connection, run_id: UUID, *, after: int = 0, limit: int) -> list[RejectedRow]:
    """Return at most `limit` rejected lines after the record number `after`, in the order of the file."""
    params = {"run_id": run_id, "after": after, "limit": limit}
    lines = columns.reading(conn, "rejected_rows", run_id)
    with conn.cursor(row_factory=dict_row) as cursor:
        return [
            RejectedRow(**row | {"raw": lines.open_one(row["raw"], "raw", row["record_number"])})
            for row in cursor.execute(SQL["page"], params)
        ]
