"""The accepted lines of a run, read back as Arrow: PostgreSQL writes CSV, Arrow reads it, no Python loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pyarrow as pa
from psycopg import Connection, sql
from pyarrow import csv

from facnet_grpc.model.line import LINE_SCHEMA
from facnet_grpc.storage.postgres.queries import load

SQL = load("lines")
_COPY = sql.SQL(f"COPY ({SQL['page']}) TO STDOUT (FORMAT csv)")
_LEAST_BLOCK = 1 << 16

# PostgreSQL quotes an empty text and leaves a null empty.
_CONVERT = csv.ConvertOptions(
    column_types={field.name: field.type for field in LINE_SCHEMA},
    null_values=[""],
    strings_can_be_null=True,
    quoted_strings_can_be_null=False,
)
_PARSE = csv.ParseOptions(newlines_in_values=True)


def page(
    conn: Connection,
    run_id: UUID,
    *,
    after: int = 0,
    limit: int,
    numbers: Sequence[int] = (),
) -> pa.RecordBatch:
    """Return at most `limit` lines after the record number `after`, in the order of the file: LINE_SCHEMA.

    With `numbers`, only lines of these numbers.
    """
    params = {"run_id": run_id, "after": after, "limit": limit, "numbers": list(numbers) or None}
    with conn.cursor() as cursor, cursor.copy(_COPY, params) as copy:
        data = b"".join(bytes(part) for part in copy)
    return _parse(data)


def _parse(data: bytes) -> pa.RecordBatch:
    if not data:
        return pa.RecordBatch.from_pylist([], schema=LINE_SCHEMA)
    # One block, as a line may be longer than any other size; one thread, as pages are small and many.
    reading = csv.ReadOptions(
        column_names=LINE_SCHEMA.names,
        use_threads=False,
        block_size=max(_LEAST_BLOCK, len(data) + 1),
    )
    table = csv.read_csv(pa.BufferReader(data), reading, _PARSE, _CONVERT)
    return table.cast(LINE_SCHEMA).combine_chunks().to_batches()[0]
