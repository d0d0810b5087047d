"""The accepted lines of a run, read back as Arrow: PostgreSQL writes CSV, Arrow reads it, no Python loop over rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa
from psycopg import Connection, sql
from pyarrow import csv

from facnet_grpc.model.billing import BILLING_SCHEMA, RULE_SCHEMA
from facnet_grpc.model.line import LINE_SCHEMA
from facnet_grpc.storage.postgres import columns
from facnet_grpc.storage.postgres.queries import load

SQL = load("lines")
# What rules read, as text that is not a dictionary yet.
_PLAIN_RULE_SCHEMA = pa.schema([BILLING_SCHEMA.field(name) for name in RULE_SCHEMA.names])
_AT_ONCE = 50_000
_LEAST_BLOCK = 1 << 16

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
    return _read(conn, "page", params, LINE_SCHEMA)


def for_rules(conn: Connection, run_id: UUID) -> Iterator[pa.RecordBatch]:
    """Yield all lines of a run in the order of the file, with the columns of RULE_SCHEMA as plain text."""
    after = 0
    while True:
        params = {"run_id": run_id, "after": after, "limit": _AT_ONCE}
        batch = _read(conn, "for_rules", params, _PLAIN_RULE_SCHEMA)
        if batch.num_rows:
            yield batch
        if batch.num_rows < _AT_ONCE:
            return
        after = batch.column("record_number")[-1].as_py()


def _read(conn: Connection, name: str, params: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    patients = columns.reading(conn, "billing_records", params["run_id"])
    statement = sql.SQL(f"COPY ({SQL[name]}) TO STDOUT (FORMAT csv)")
    with conn.cursor() as cursor, cursor.copy(statement, params) as copy:
        data = b"".join(bytes(part) for part in copy)
    return patients.open(_parse(data, schema))


def _parse(data: bytes, schema: pa.Schema) -> pa.RecordBatch:
    if not data:
        return pa.RecordBatch.from_pylist([], schema=schema)
    # One block, as a line may be longer than any other size; one thread, as pages are small and many.
    reading = csv.ReadOptions(
        column_names=schema.names,
        use_threads=False,
        block_size=max(_LEAST_BLOCK, len(data) + 1),
    )
    # PostgreSQL quotes an empty text and leaves a null empty.
    converting = csv.ConvertOptions(
        column_types={field.name: field.type for field in schema},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = csv.read_csv(pa.BufferReader(data), reading, _PARSE, converting)
    return table.cast(schema).combine_chunks().to_batches()[0]
